"""The simulated board's wire (`docs/reference/sim-board.md`), the rig's end: bytes <-> messages."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from harken.errors import MalformedError

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK = 160  # samples: 10 ms at 16 kHz
BLOCK_BYTES = 2 * BLOCK
LARGEST_PAYLOAD = 4096
_HEADER = struct.Struct("<BBH")
_SAMPLE = struct.Struct("<I")


class Kind(IntEnum):
    """What a message is."""

    MIC = 0x01
    BUTTON = 0x02
    WIFI = 0x03
    QUIT = 0x04
    HELLO = 0x80
    SPEAKER = 0x81
    LED = 0x82
    MARK = 0x83
    LOG = 0x84
    FEED = 0x85


_KINDS = frozenset(Kind)


@dataclass(frozen=True, slots=True)
class Message:
    """One message from the device, its payload not yet looked at."""

    kind: Kind
    payload: bytes

    def json(self) -> dict[str, Any]:
        """The payload of HELLO and MARK.

        Raises:
            MalformedError: it is no JSON object.
        """
        try:
            value = json.loads(self.payload)
        except ValueError as error:
            raise MalformedError(f"{self.kind.name} from the board is not JSON: {error}") from error
        if not isinstance(value, dict):
            raise MalformedError(f"{self.kind.name} from the board is not a JSON object")
        return value  # pyright: ignore[reportUnknownVariableType]

    def speaker(self) -> tuple[int, bytes]:
        """The device sample at which a block is played, and its 160 samples.

        Raises:
            MalformedError: it is not one block.
        """
        if len(self.payload) != _SAMPLE.size + BLOCK_BYTES:
            raise MalformedError(f"a loudspeaker block of {len(self.payload)} bytes")
        return _SAMPLE.unpack_from(self.payload)[0], self.payload[_SAMPLE.size :]


class Decoder:
    """Cuts the device's stream into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """Messages that are complete with `data`.

        Raises:
            MalformedError: an unknown or oversize message; the stream cannot be followed further.
        """
        buffer = self._buffer
        buffer += data
        while len(buffer) >= _HEADER.size:
            kind, _, length = _HEADER.unpack_from(buffer)
            if length > LARGEST_PAYLOAD or kind not in _KINDS:
                raise MalformedError(f"the board sent type {kind:#x} with {length} bytes")
            end = _HEADER.size + length
            if len(buffer) < end:
                return
            payload = bytes(buffer[_HEADER.size : end])
            del buffer[:end]
            yield Message(Kind(kind), payload)


def encode(kind: Kind, payload: bytes = b"") -> bytes:
    """A message for the device."""
    return _HEADER.pack(kind, 0, len(payload)) + payload
