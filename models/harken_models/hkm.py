"""The packed model format, `.hkm`, as `firmware/native/core/int8_model.h` defines it.

Everything is little-endian and aligned to 4 bytes from the start of the file, so that a board
runs the weights where they lie, in flash or in a `bytes` object.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field

__all__ = ["HEADER_SIZE", "MAX_ARENA", "Kind", "Operation", "Packed", "Region", "encode"]

_MAGIC = 0x314D4B48
_VERSION = 1
_HEADER = struct.Struct("<IHHIIHHHHIIIIII")
_AFTER_CRC = 16
_OPERATION = struct.Struct("<BbbbIIHHHHHHHHII")
_REGION = struct.Struct("<IIi")
HEADER_SIZE = _HEADER.size
MAX_ARENA = 1 << 20
"""More state than this the engine does not take."""


class Kind:
    """What an operation does."""

    DENSE = 1
    DEPTHWISE = 2
    TABLE = 3
    SHIFT = 4
    COPY = 5


@dataclass
class Operation:
    """One step of the engine; offsets count bytes from the start of the arena.

    `weights` and `requant` are the bytes themselves: `encode` places them.
    """

    kind: int = 0
    input: int = 0
    output: int = 0
    rows: int = 1
    columns: int = 1
    row_stride: int = 0
    outputs: int = 0
    positions: int = 1
    input_step: int = 0
    output_step: int = 0
    zero_point: int = 0
    least: int = -128
    most: int = 127
    weights: bytes = field(default=b"", repr=False)
    requant: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class Region:
    """A state of the stream and the int8 that all its bytes start with."""

    offset: int
    length: int
    value: int


@dataclass(frozen=True)
class Packed:
    """A model, ready to be written."""

    stride: int
    features: int
    arena_size: int
    input: int
    output: int
    outputs: int
    regions: list[Region]
    operations: list[Operation]


class _Tables:
    """Constants behind the operations; equal blocks are kept once."""

    def __init__(self, start: int) -> None:
        self._start = start
        self._known: dict[bytes, int] = {}
        self.content = bytearray()

    def place(self, block: bytes) -> int:
        """Where in the file `block` lies; 0 for none."""
        if not block:
            return 0
        if block not in self._known:
            self._known[block] = self._start + len(self.content)
            self.content += block + bytes(-len(block) % 4)
        return self._known[block]


def encode(packed: Packed) -> bytes:
    """The file.

    Raises:
        struct.error: a number does not fit its field.
    """
    regions = b"".join(
        _REGION.pack(each.offset, each.length, each.value) for each in packed.regions
    )
    operations_at = HEADER_SIZE + len(regions)
    tables = _Tables(operations_at + len(packed.operations) * _OPERATION.size)
    operations = b"".join(
        _operation(each, tables.place(each.weights), tables.place(each.requant))
        for each in packed.operations
    )
    rest = regions + operations + bytes(tables.content)
    fields = (
        packed.stride,
        packed.features,
        len(packed.regions),
        len(packed.operations),
        packed.arena_size,
        packed.input,
        packed.output,
        HEADER_SIZE,
        operations_at,
        packed.outputs - 1,
    )
    start = (_MAGIC, _VERSION, HEADER_SIZE, HEADER_SIZE + len(rest))
    crc = zlib.crc32(_HEADER.pack(*start, 0, *fields)[_AFTER_CRC:] + rest)
    return _HEADER.pack(*start, crc, *fields) + rest


def _operation(each: Operation, weights: int, requant: int) -> bytes:
    return _OPERATION.pack(
        each.kind,
        each.zero_point,
        each.least,
        each.most,
        each.input,
        each.output,
        each.rows,
        each.columns,
        each.row_stride,
        each.outputs,
        each.positions,
        each.input_step,
        each.output_step,
        0,
        weights,
        requant,
    )
