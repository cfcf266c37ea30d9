"""The three ways in which the xiaozhi protocol puts an Opus packet into a WebSocket message.

Version 1 is the packet alone. Version 2 is `u16 version=2 | u16 type | u32 reserved |
u32 timestamp_ms | u32 size`, version 3 is `u8 type | u8 reserved | u16 size`, both big-endian and
followed by `size` bytes. Type 0 is Opus, 1 is JSON.
"""

from __future__ import annotations

import struct
from typing import Literal, NamedTuple

from harken.errors import MalformedError

__all__ = ["MAX_PACKET", "Payload", "Version", "pack", "unpack"]

Version = Literal[1, 2, 3]

MAX_PACKET = 4_000
"""The longest Opus packet taken, in bytes: 120 ms at far more than any device sends."""

_MAX_JSON = 32_768

_V2 = struct.Struct(">HHIII")
_V3 = struct.Struct(">BBH")
_OPUS = 0
_JSON = 1


class Payload(NamedTuple):
    """What a binary message carried.

    Attributes:
        data: an Opus packet, or JSON where `is_json`.
        timestamp_ms: the sender's own, 0 where the version has none.
        is_json: the message carried JSON text.
    """

    data: bytes
    timestamp_ms: int = 0
    is_json: bool = False


def unpack(version: Version, message: bytes) -> Payload:
    """The payload of one binary message.

    Clients exist that send version 1 whatever was agreed, so a message without the agreed
    version's header is taken as a bare packet. One that has the header must keep its word about
    the size.

    Args:
        version: what hello agreed on.
        message: the WebSocket message.

    Raises:
        MalformedError: empty, too long, of an unknown type, or of another size than it says.
    """
    if version == 1:
        return Payload(_bounded(message, MAX_PACKET))
    if version == 3:
        return _unpack_v3(message)
    return _unpack_v2(message)


def pack(version: Version, packet: bytes, timestamp_ms: int = 0) -> bytes:
    """One Opus packet as a binary message.

    Args:
        version: what hello agreed on.
        packet: Opus, at most `MAX_PACKET` bytes.
        timestamp_ms: sent in version 2 only, modulo 2^32.

    Raises:
        MalformedError: the packet is empty or too long.
    """
    _bounded(packet, MAX_PACKET)
    if version == 1:
        return packet
    if version == 3:
        return _V3.pack(_OPUS, 0, len(packet)) + packet
    return _V2.pack(2, _OPUS, 0, timestamp_ms & 0xFFFF_FFFF, len(packet)) + packet


def _unpack_v3(message: bytes) -> Payload:
    # An Opus packet of a voice codec never starts 00 00 or 01 00 (narrow band, 10 ms, silent).
    if len(message) < 2 or message[0] > _JSON or message[1] != 0:
        return Payload(_bounded(message, MAX_PACKET))
    if len(message) < _V3.size:
        raise MalformedError(f"a version 3 frame of {len(message)} bytes has no whole header")
    kind, _, size = _V3.unpack_from(message)
    return _body(message, _V3.size, kind, size, 0)


def _unpack_v2(message: bytes) -> Payload:
    if message[:2] != b"\x00\x02":
        return Payload(_bounded(message, MAX_PACKET))
    if len(message) < _V2.size:
        raise MalformedError(f"a version 2 frame of {len(message)} bytes has no whole header")
    _, kind, _, timestamp_ms, size = _V2.unpack_from(message)
    if kind > _JSON:
        raise MalformedError(f"a version 2 frame of unknown type {kind}")
    return _body(message, _V2.size, kind, size, timestamp_ms)


def _body(message: bytes, start: int, kind: int, size: int, timestamp_ms: int) -> Payload:
    if size != len(message) - start:
        raise MalformedError(f"a frame says {size} bytes and carries {len(message) - start}")
    is_json = kind == _JSON
    data = _bounded(message[start:], _MAX_JSON if is_json else MAX_PACKET)
    return Payload(data, timestamp_ms, is_json)


def _bounded(data: bytes, limit: int) -> bytes:
    if not data:
        raise MalformedError("an empty audio frame")
    if len(data) > limit:
        raise MalformedError(f"a frame of {len(data)} bytes, more than the {limit} allowed")
    return data
