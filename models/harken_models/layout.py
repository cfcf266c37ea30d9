"""Where each tensor of a streaming graph lives in the engine's arena.

A microWakeWord graph mostly moves bytes: state is read, joined with what is new, cut, split and
written back. Here such tensors become views of one another, so that a layer writes straight into
the ring buffer it feeds and reads straight out of the slice it wants; of all that moving, one
shift per ring buffer remains.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harken.errors import ModelFormatError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .tflite import Graph, Operator

__all__ = ["Layout", "Lifetime", "View", "place"]

_ALIGNMENT = 4
_HINT = "the engine runs microWakeWord v2 streaming models; train with its mixednet recipe"


def refused(what: str) -> ModelFormatError:
    """The error for a graph the engine cannot run."""
    return ModelFormatError(what, hint=_HINT)


@dataclass(frozen=True)
class View:
    """`rows` of `columns` bytes, `stride` apart, `offset` bytes into the storage of `root`."""

    root: int
    offset: int
    rows: int
    columns: int
    stride: int

    @property
    def dense(self) -> bool:
        """Whether the rows follow one another without a gap."""
        return self.rows == 1 or self.stride == self.columns


@dataclass(frozen=True)
class _Link:
    """The child's first byte is at (row, column) of the parent; `reshaped` where rows differ."""

    parent: int
    row: int = 0
    column: int = 0
    reshaped: bool = False


class Layout:
    """Views of a graph's tensors; `copies` are the joins that need a real copy."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._links: dict[int, _Link] = {}
        self.copies: dict[int, list[tuple[int, _Link]]] = {}
        """By operator number: the tensors it must copy, and to where."""
        self._link_slices()
        self._link_joins()
        self._link_reshapes()

    def rows_columns(self, tensor: int) -> tuple[int, int]:
        """A tensor as rows of its last dimension."""
        shape = self._graph.tensors[tensor].shape
        if any(size < 1 for size in shape):
            raise refused(f"tensor {tensor} has no fixed shape: {list(shape)}")
        return math.prod(shape[:-1]), shape[-1] if shape else 1

    def view(self, tensor: int) -> View:
        """Where `tensor` lives.

        Raises:
            ModelFormatError: a reshape of something with gaps.
        """
        rows, columns = self.rows_columns(tensor)
        link = self._links.get(tensor)
        if link is None:
            return View(tensor, 0, rows, columns, columns)
        return self.inside(link, rows, columns)

    def inside(self, link: _Link, rows: int, columns: int) -> View:
        """The view of `rows` by `columns` at `link`."""
        parent = self.view(link.parent)
        if link.reshaped:
            if not parent.dense:
                raise refused("it reshapes a tensor that does not lie in one piece")
            return View(parent.root, parent.offset, rows, columns, columns)
        if link.row + rows > parent.rows or link.column + columns > parent.columns:
            raise refused("a part of a tensor is larger than the tensor")
        offset = parent.offset + link.row * parent.stride + link.column
        return View(parent.root, offset, rows, columns, parent.stride)

    def _operators(self, *names: str) -> Iterator[tuple[int, Operator]]:
        for number, operator in enumerate(self._graph.operators):
            if operator.name in names:
                yield number, operator

    def _link_slices(self) -> None:
        for _, operator in self._operators("STRIDED_SLICE"):
            source, begin = operator.inputs[:2]
            starts = self._starts(operator, begin)
            rows_before = 0
            shape = self._graph.tensors[source].shape
            for size, start in zip(shape[:-1], starts[:-1], strict=True):
                rows_before = rows_before * size + start
            self._links[operator.outputs[0]] = _Link(source, rows_before, starts[-1])
        for _, operator in self._operators("SPLIT_V"):
            self._link_split(operator)

    def _starts(self, operator: Operator, begin: int) -> list[int]:
        """Where a slice starts in each dimension, its other numbers being checked."""
        source, _, end, strides = (self._graph.tensors[n] for n in operator.inputs[:4])
        result = self._graph.tensors[operator.outputs[0]]
        if any(operator.option(n, 0) for n in (2, 3, 4)):
            raise refused("STRIDED_SLICE that adds or removes dimensions")
        if any(step != 1 for step in ints(strides.data)):
            raise refused("STRIDED_SLICE that steps over elements")
        starts: list[int] = []
        ends = ints(end.data)
        for axis, (size, start) in enumerate(
            zip(source.shape, ints(self._graph.tensors[begin].data), strict=True)
        ):
            masked = operator.option(0, 0) >> axis & 1
            first = 0 if masked else clamp(start, size)
            last = size if operator.option(1, 0) >> axis & 1 else clamp(ends[axis], size)
            if last - first != result.shape[axis]:
                raise refused("STRIDED_SLICE whose result has another shape than its numbers")
            starts.append(first)
        # Cut in one dimension only among rows, so that the rows stay evenly spaced.
        if sum(a != b for a, b in zip(source.shape[:-1], result.shape[:-1], strict=True)) > 1:
            raise refused("STRIDED_SLICE over two dimensions at once")
        return starts

    def _link_split(self, operator: Operator) -> None:
        source, _, axis_tensor = operator.inputs
        shape = self._graph.tensors[source].shape
        if ints(self._graph.tensors[axis_tensor].data)[0] % len(shape) != len(shape) - 1:
            raise refused("SPLIT_V along anything but the channels")
        column = 0
        for output in operator.outputs:
            self._links[output] = _Link(source, 0, column)
            column += self.rows_columns(output)[1]
        if column != shape[-1]:
            raise refused("SPLIT_V whose parts do not add up")

    def _link_joins(self) -> None:
        for number, operator in self._operators("CONCATENATION"):
            if any(self._graph.tensors[part].data for part in operator.inputs):
                raise refused("it joins a constant to the stream")
            if operator.option(1, 0, "b"):
                raise refused("CONCATENATION with a fused activation")
            joined = operator.outputs[0]
            for part, link in self._parts(operator):
                if part in self._links:
                    self.copies.setdefault(number, []).append((part, link))
                else:
                    self._links[part] = link
            if self._graph.tensors[joined].kind != "int8":
                raise refused(f"CONCATENATION of {self._graph.tensors[joined].kind}")

    def _parts(self, operator: Operator) -> Iterator[tuple[int, _Link]]:
        joined = operator.outputs[0]
        shape = self._graph.tensors[joined].shape
        axis = operator.option(0, 0) % len(shape)
        by_row = math.prod(shape[:axis]) == 1 and axis < len(shape) - 1
        if not by_row and axis != len(shape) - 1:
            raise refused("CONCATENATION along anything but time or channels")
        total_rows, total_columns = self.rows_columns(joined)
        at = 0
        for part in operator.inputs:
            rows, columns = self.rows_columns(part)
            if self._graph.tensors[part].quantization != self._graph.tensors[joined].quantization:
                raise refused("CONCATENATION of parts that do not fit: their scales differ")
            if (columns != total_columns) if by_row else (rows != total_rows):
                raise refused("CONCATENATION of parts that do not fit")
            yield part, _Link(joined, at, 0) if by_row else _Link(joined, 0, at)
            at += rows if by_row else columns
        if at != (total_rows if by_row else total_columns):
            raise refused("CONCATENATION whose parts do not add up")

    def _link_reshapes(self) -> None:
        for number, operator in self._operators("RESHAPE"):
            source, result = operator.inputs[0], operator.outputs[0]
            if self._graph.tensors[source].data:
                raise refused("it reshapes a constant into the stream")
            if math.prod(self.rows_columns(source)) != math.prod(self.rows_columns(result)):
                raise refused("RESHAPE to another size")
            if result not in self._links:
                self._links[result] = _Link(source, reshaped=True)
            elif source not in self._links:
                self._links[source] = _Link(result, reshaped=True)
            else:
                link = _Link(result, reshaped=True)
                self.copies.setdefault(number, []).append((source, link))


def ints(data: bytes) -> list[int]:
    """Constant int32 numbers."""
    return [int.from_bytes(data[n : n + 4], "little", signed=True) for n in range(0, len(data), 4)]


def clamp(index: int, size: int) -> int:
    """A slice's bound, from the end where negative, within the dimension."""
    return min(max(index + size if index < 0 else index, 0), size)


@dataclass(frozen=True)
class Lifetime:
    """Storage of `size` bytes in use from operator `first` to `last`, inclusive."""

    root: int
    size: int
    first: int
    last: int


def place(lifetimes: Iterable[Lifetime]) -> tuple[dict[int, int], int]:
    """Offsets by root, and the arena's size: first fit, the largest first."""
    offsets: dict[int, int] = {}
    placed: list[tuple[Lifetime, int]] = []
    for each in sorted(lifetimes, key=lambda each: (-each.size, each.first, each.root)):
        at = 0
        for other, start in sorted(placed, key=lambda pair: pair[1]):
            together = each.first <= other.last and other.first <= each.last
            if together and at < start + other.size and start < at + each.size:
                at = -(-(start + other.size) // _ALIGNMENT) * _ALIGNMENT
        offsets[each.root] = at
        placed.append((each, at))
    size = max((start + each.size for each, start in placed), default=0)
    return offsets, -(-size // _ALIGNMENT) * _ALIGNMENT
