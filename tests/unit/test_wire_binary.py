"""Binary framing, byte for byte."""

from __future__ import annotations

import pytest

from harken.errors import MalformedError
from harken.wire.binary import MAX_PACKET, Payload, pack, unpack


def test_bytes_on_the_wire() -> None:
    assert pack(1, b"\x48abc", 5) == b"\x48abc"
    assert pack(2, b"\x48abc", 5) == bytes.fromhex("00020000 00000000 00000005 00000004") + b"Habc"
    assert pack(3, b"\x48abc", 5) == bytes.fromhex("00000004") + b"Habc"


def test_a_timestamp_wraps() -> None:
    assert unpack(2, pack(2, b"\x48", 2**32 + 7)).timestamp_ms == 7


def test_json_in_a_frame() -> None:
    assert unpack(3, b"\x01\x00\x00\x02{}") == Payload(b"{}", 0, is_json=True)
    header = bytes.fromhex("00020001 00000000 00000009 00000002")
    assert unpack(2, header + b"{}") == Payload(b"{}", 9, is_json=True)


@pytest.mark.parametrize("version", [2, 3])
def test_a_bare_packet_is_taken_whatever_was_agreed(version: int) -> None:
    assert unpack(version, b"\x48abc").data == b"\x48abc"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (1, b""),
        (2, b""),
        (3, b""),
        (1, bytes(MAX_PACKET + 1)),
        (3, b"\x00\x00\x00"),
        (3, b"\x00\x00\x00\x00"),
        (3, b"\x00\x00\x00\x05abcd"),
        (3, b"\x00\x00\x00\x03abcd"),
        (2, b"\x00\x02\x00"),
        (2, bytes.fromhex("00020002 00000000 00000000 00000001") + b"x"),
        (2, bytes.fromhex("00020000 00000000 00000000 ffffffff") + b"x"),
        (2, bytes.fromhex("00020000 00000000 00000000 00000000")),
    ],
)
def test_what_is_refused(version: int, message: bytes) -> None:
    with pytest.raises(MalformedError):
        unpack(version, message)  # type: ignore[arg-type]


@pytest.mark.parametrize("packet", [b"", bytes(MAX_PACKET + 1)])
def test_what_is_never_sent(packet: bytes) -> None:
    with pytest.raises(MalformedError):
        pack(3, packet)
