"""The packed model, read and checked as `firmware/native/core/int8_model.c` does."""

import struct
from binascii import crc32

from micropython import const

from harken_device.viper.buffers import address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from harken_device.viper.buffers import Buffer

DENSE = const(1)
DEPTHWISE = const(2)
TABLE = const(3)
SHIFT = const(4)
COPY = const(5)

_VERSION = const(1)
_HEADER = "<4sHHIIHHHHIIIIII"
_HEADER_SIZE = const(48)
_CRC_START = const(16)
_REGION = "<IIi"
_REGION_SIZE = const(12)
_OPERATION = "<BbbbIIHHHHHHHHII"
_OPERATION_SIZE = const(36)
_MAX_ARENA = const(1 << 20)

_CUT = "this is no packed model of a known version, or it is cut off"
_DAMAGED = "the packed model is damaged: its checksum is wrong"
_UNFIT = "the packed model has an operation that does not fit"


class Step:
    """One operation.

    Attributes:
        kind: what it does.
        words: the same numbers for the kernels.
    """

    def __init__(self, found: "tuple[int, ...]") -> None:
        self.kind, zero, least, most, self.source, self.target = found[:6]
        self.rows, self.columns, self.row_stride, self.outputs, self.positions = found[6:11]
        self.source_step, self.target_step, self.reserved = found[11:14]
        self.weights, self.requant = found[14:]
        self.least, self.most = least, most
        self.words = struct.pack(
            "<14I",
            self.requant,
            self.source,
            self.target,
            self.rows,
            self.columns,
            self.row_stride,
            self.outputs,
            self.positions,
            self.source_step,
            self.target_step,
            self.weights,
            zero + 128,
            least + 128,
            most + 128,
        )


class Packed:
    """What a model's file says.

    Args:
        model: the file, which stays where it is.

    Raises:
        ValueError: it is none, is damaged, or an operation would leave model or arena.

    Attributes:
        stride: rows of features that one inference takes.
        features: bytes of a row.
        regions: (offset, length, value) of what a reset fills.
        steps: the operations, in order.
    """

    def __init__(self, model: "Buffer") -> None:
        if address(model) & 3:
            raise ValueError("the model must start at an address that 4 divides")
        self._model = model
        self._size = len(model)
        if self._size < _HEADER_SIZE:
            raise ValueError(_CUT)
        head = struct.unpack_from(_HEADER, model, 0)
        self.stride: int = head[5]
        self.features: int = head[6]
        self.arena_size: int = head[9]
        self.input: int = head[10]
        self.output: int = head[11]
        self.outputs: int = 1 + head[14]
        self._check_header(head)
        if crc32(memoryview(model)[_CRC_START:]) & 0xFFFFFFFF != head[4]:
            raise ValueError(_DAMAGED)
        self.regions = [self._region(head[12] + _REGION_SIZE * n) for n in range(head[7])]
        self.steps = [self._step(head[13] + _OPERATION_SIZE * n) for n in range(head[8])]

    def _check_header(self, head: "tuple[Any, ...]") -> None:
        if (
            head[:4] != (b"HKM1", _VERSION, _HEADER_SIZE, self._size)
            or self.arena_size > _MAX_ARENA
            or self.stride < 1
            or self.features < 1
            or not self._in_arena(self.input, self.stride * self.features)
            or not self._in_arena(self.output, self.outputs)
            or not self._in_file(head[12], _REGION_SIZE * head[7])
            or not self._in_file(head[13], _OPERATION_SIZE * head[8])
        ):
            raise ValueError(_CUT)

    def _in_arena(self, offset: int, length: int) -> bool:
        return offset <= self.arena_size and length <= self.arena_size - offset

    def _in_file(self, offset: int, length: int) -> bool:
        return offset % 4 == 0 and _HEADER_SIZE <= offset <= self._size - length

    def _region(self, at: int) -> "tuple[int, int, int]":
        offset, length, value = struct.unpack_from(_REGION, self._model, at)
        if not self._in_arena(offset, length):
            raise ValueError(_UNFIT)
        return offset, length, value

    def _step(self, at: int) -> Step:
        step = Step(struct.unpack_from(_OPERATION, self._model, at))
        if not step.rows or not step.columns or not step.positions or step.reserved:
            raise ValueError(_UNFIT)
        each = step.columns
        if step.kind <= DEPTHWISE:
            fits = self._filters_fit(step)
            each = step.outputs
        elif step.kind == TABLE:
            fits = step.rows == 1 and self._in_file(step.weights, 256)
        else:
            each = step.rows * step.columns
            fits = step.kind == COPY or self._shift_fits(step)
        windows = (step.rows - 1) * step.row_stride + step.columns
        read = (step.positions - 1) * step.source_step + windows
        written = (step.positions - 1) * step.target_step + each
        inside = self._in_arena(step.source, read) and self._in_arena(step.target, written)
        if not fits or not inside:
            raise ValueError(_UNFIT)
        return step

    def _shift_fits(self, step: Step) -> bool:
        """`rows` rows of `columns` bytes, of which the first `outputs` are dropped."""
        return (
            step.kind == SHIFT
            and step.row_stride == step.columns
            and 0 < step.outputs < step.rows
            and step.source == step.target
            and step.positions == 1
        )

    def _filters_fit(self, step: Step) -> bool:
        taps = step.rows * step.columns
        if step.kind == DENSE:
            taps *= step.outputs
        elif step.kind != DEPTHWISE or step.outputs != step.columns:
            return False
        outputs = step.outputs
        if not outputs or not self._in_file(step.weights, taps):
            return False
        if not self._in_file(step.requant, 12 * outputs):
            return False
        for n in range(outputs):
            at = step.requant + 4 * (outputs + n)
            (factor,) = struct.unpack_from("<i", self._model, at)
            (shift,) = struct.unpack_from("<i", self._model, at + 4 * outputs)
            if factor < 0 or not -31 <= shift <= 30:
                return False
        return step.least <= step.most
