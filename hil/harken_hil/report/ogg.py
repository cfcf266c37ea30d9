"""Audio for a page: speech as an Ogg Opus file (RFC 3533, RFC 7845)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from harken.audio.opus import Encoder

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

_RATE = 16_000
_FRAME_MS = 20
_FRAME = _RATE * _FRAME_MS // 1000
_GRANULES = 48 * _FRAME_MS  # Ogg Opus counts at 48 kHz whatever the input was
# What a player must throw away at the start: libopus looks 6.5 ms ahead.
_PRE_SKIP = 312
_SERIAL = 0x48_4B_4E_31
_PACKETS_A_PAGE = 50


def opus_file(samples: NDArray[np.int16], bitrate: int = 24_000) -> bytes:
    """Mono 16 kHz audio as an Ogg Opus file.

    Args:
        samples: int16 [n], 16 kHz.
        bitrate: bits a second to aim for.
    """
    head = struct.pack("<8sBBHIhB", b"OpusHead", 1, 1, _PRE_SKIP, _RATE, 0, 0)
    vendor = b"harken"
    tags = struct.pack("<8sI", b"OpusTags", len(vendor)) + vendor + struct.pack("<I", 0)
    pages = [_page([head], 0, 0, first=True), _page([tags], 0, 1)]
    packets = list(_packets(samples, bitrate))
    whole = len(samples) * 3 + _PRE_SKIP
    for start in range(0, len(packets), _PACKETS_A_PAGE):
        some = packets[start : start + _PACKETS_A_PAGE]
        last = start + len(some) == len(packets)
        granule = whole if last else (start + len(some)) * _GRANULES
        pages.append(_page(some, granule, len(pages), last=last))
    return b"".join(pages)


def _packets(samples: NDArray[np.int16], bitrate: int) -> Iterator[bytes]:
    encoder = Encoder(_RATE, bitrate, complexity=5, frame_ms=_FRAME_MS)
    padded = samples.tobytes() + bytes(2 * (_PRE_SKIP // 3))
    padded += bytes(-len(padded) % encoder.frame_bytes)
    for at in range(0, len(padded), encoder.frame_bytes):
        yield encoder.encode(padded[at : at + encoder.frame_bytes])


def _page(
    packets: list[bytes], granule: int, number: int, *, first: bool = False, last: bool = False
) -> bytes:
    lacing = b"".join(b"\xff" * (len(p) // 255) + bytes([len(p) % 255]) for p in packets)
    flags = 2 * first + 4 * last
    head = struct.pack("<4sBBqIIIB", b"OggS", 0, flags, granule, _SERIAL, number, 0, len(lacing))
    page = bytearray(head + lacing + b"".join(packets))
    struct.pack_into("<I", page, 22, _checksum(page))
    return bytes(page)


def _remainder(byte: int) -> int:
    value = byte << 24
    for _ in range(8):
        value = (value << 1) ^ (0x04C11DB7 if value & 0x80000000 else 0)
    return value & 0xFFFFFFFF


_REMAINDERS = tuple(_remainder(byte) for byte in range(256))


def _checksum(page: bytearray) -> int:
    """CRC-32 with the polynomial 0x04C11DB7, neither reflected nor inverted (RFC 3533, 6)."""
    crc = 0
    for byte in page:
        crc = ((crc << 8) & 0xFFFFFFFF) ^ _REMAINDERS[(crc >> 24) ^ byte]
    return crc
