"""Reads TensorFlow Lite flatbuffers: the graph, its constants and quantisation, nothing more.

Field numbers are those of the public schema (TensorFlow Lite, `schema.fbs`).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from harken.errors import ModelFormatError

__all__ = ["Graph", "Model", "Operator", "Quantization", "Tensor", "read"]

_VERSION = 3
_MAX_BYTES = 64 * 1024 * 1024
_NAMES = {
    0: "ADD",
    1: "AVERAGE_POOL_2D",
    2: "CONCATENATION",
    3: "CONV_2D",
    4: "DEPTHWISE_CONV_2D",
    6: "DEQUANTIZE",
    9: "FULLY_CONNECTED",
    14: "LOGISTIC",
    17: "MAX_POOL_2D",
    18: "MUL",
    19: "RELU",
    21: "RELU6",
    22: "RESHAPE",
    25: "SOFTMAX",
    28: "TANH",
    34: "PAD",
    40: "MEAN",
    41: "SUB",
    45: "STRIDED_SLICE",
    49: "SPLIT",
    70: "EXPAND_DIMS",
    83: "PACK",
    102: "SPLIT_V",
    114: "QUANTIZE",
    129: "CALL_ONCE",
    142: "VAR_HANDLE",
    143: "READ_VARIABLE",
    144: "ASSIGN_VARIABLE",
}
_TYPES = {0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 7: "int16", 9: "int8"}
_RESOURCE = 13


@dataclass(frozen=True)
class Quantization:
    """real = scale * (stored - zero_point); one scale per slice of `axis` where there are many."""

    scales: tuple[float, ...]
    """Each a float32."""
    zero_points: tuple[int, ...]
    axis: int


@dataclass(frozen=True)
class Tensor:
    """One tensor of a graph; `data` is empty where it is computed."""

    name: str
    kind: str
    shape: tuple[int, ...]
    quantization: Quantization
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class Operator:
    """One step of a graph. `inputs` holds -1 for an input left out."""

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: _Table | None = field(repr=False)

    def option(self, number: int, default: int, width: str = "i") -> int:
        """The scalar option in field `number` of the operator's options."""
        return default if self.options is None else self.options.scalar(number, width, default)

    def text(self, number: int) -> str:
        """The text option in field `number`."""
        return "" if self.options is None else self.options.text(number)


@dataclass(frozen=True)
class Graph:
    """One subgraph; its operators are in the order of execution."""

    tensors: tuple[Tensor, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    operators: tuple[Operator, ...]


@dataclass(frozen=True)
class Model:
    """A whole file; the first graph is the one that is run."""

    graphs: tuple[Graph, ...]


def read(data: bytes) -> Model:
    """Read a `.tflite` file.

    Raises:
        ModelFormatError: not such a file, or damaged.
    """
    if len(data) < 8 or data[4:8] != b"TFL3" or len(data) > _MAX_BYTES:
        raise ModelFormatError(
            "this is not a TensorFlow Lite model: no TFL3 mark at byte 4, or larger than 64 MiB",
            hint="give the .tflite file that the training wrote",
        )
    try:
        return _model(_Table(data, _unpack(data, "I", 0)))
    except _BeyondEndError as error:
        raise ModelFormatError(
            f"the TensorFlow Lite model is cut off: it has {len(data)} bytes, "
            "and parts of it should lie beyond them",
            hint="copy or download the file again",
        ) from error
    except IndexError as error:
        raise _damaged("it refers to a table entry that is not there") from error
    except (ValueError, RecursionError) as error:
        raise _damaged(str(error)) from error


class _BeyondEndError(ValueError):
    """Something should lie where the file has ended."""


def _damaged(what: str) -> ModelFormatError:
    return ModelFormatError(
        f"the TensorFlow Lite model is damaged: {what}", hint="copy or download the file again"
    )


def _unpack(data: bytes, kind: str, at: int) -> int:
    if at < 0:
        raise ValueError("an offset points before the file")
    if at + struct.calcsize(f"<{kind}") > len(data):
        raise _BeyondEndError
    return int(struct.unpack_from(f"<{kind}", data, at)[0])


class _Table:
    """A flatbuffer table: numbered fields behind a vtable of offsets."""

    def __init__(self, data: bytes, position: int) -> None:
        self._data = data
        self._at = position
        self._vtable = position - _unpack(data, "i", position)
        self._vtable_size = _unpack(data, "H", self._vtable)

    def _field(self, number: int) -> int:
        slot = 4 + 2 * number
        if slot + 2 > self._vtable_size:
            return 0
        offset = _unpack(self._data, "H", self._vtable + slot)
        return self._at + offset if offset else 0

    def scalar(self, number: int, kind: str, default: int) -> int:
        """A scalar field of struct format `kind`."""
        at = self._field(number)
        return _unpack(self._data, kind, at) if at else default

    def table(self, number: int) -> _Table | None:
        """A table field, where it is there."""
        at = self._field(number)
        return _Table(self._data, at + _unpack(self._data, "I", at)) if at else None

    def _vector(self, number: int, width: int) -> tuple[int, int]:
        at = self._field(number)
        if not at:
            return 0, 0
        start = at + _unpack(self._data, "I", at)
        count = _unpack(self._data, "I", start)
        if start + 4 + count * width > len(self._data):
            raise _BeyondEndError
        return start + 4, count

    def scalars(self, number: int, kind: str) -> tuple[int, ...]:
        """A vector of scalars."""
        start, count = self._vector(number, struct.calcsize(f"<{kind}"))
        return struct.unpack_from(f"<{count}{kind}", self._data, start)

    def floats(self, number: int) -> tuple[float, ...]:
        """A vector of float32."""
        start, count = self._vector(number, 4)
        return struct.unpack_from(f"<{count}f", self._data, start)

    def octets(self, number: int) -> bytes:
        """A vector of bytes."""
        start, count = self._vector(number, 1)
        return self._data[start : start + count]

    def text(self, number: int) -> str:
        """A string, which is a vector of bytes."""
        return self.octets(number).decode("utf-8", "replace")

    def tables(self, number: int) -> list[_Table]:
        """A vector of tables."""
        start, count = self._vector(number, 4)
        places = range(start, start + 4 * count, 4)
        return [_Table(self._data, at + _unpack(self._data, "I", at)) for at in places]


def _model(root: _Table) -> Model:
    version = root.scalar(0, "I", 0)
    if version != _VERSION:
        raise ModelFormatError(
            f"the TensorFlow Lite model is of schema version {version}; {_VERSION} is what is read",
            hint="convert it again with TensorFlow 2",
        )
    codes = [
        max(code.scalar(0, "b", 0), code.scalar(3, "i", 0))  # the byte is the old, short field
        for code in root.tables(1)
    ]
    names = [_NAMES.get(code, f"operator {code}") for code in codes]
    buffers = [table.octets(0) for table in root.tables(4)]
    graphs = tuple(_graph(table, names, buffers) for table in root.tables(2))
    if not graphs:
        raise ValueError("it holds no graph")
    return Model(graphs)


def _graph(table: _Table, names: list[str], buffers: list[bytes]) -> Graph:
    graph = Graph(
        tensors=tuple(_tensor(each, buffers) for each in table.tables(0)),
        inputs=table.scalars(1, "i"),
        outputs=table.scalars(2, "i"),
        operators=tuple(
            Operator(
                name=names[each.scalar(0, "I", 0)],
                inputs=each.scalars(1, "i"),
                outputs=each.scalars(2, "i"),
                options=each.table(4),
            )
            for each in table.tables(3)
        ),
    )
    _check_references(graph)
    return graph


def _check_references(graph: Graph) -> None:
    """Every tensor number is one, and each tensor is written once, before it is read."""
    known = {n for n, tensor in enumerate(graph.tensors) if tensor.data} | set(graph.inputs)
    for operator in graph.operators:
        for number in operator.inputs:
            if number != -1 and number not in known:
                raise ValueError(f"{operator.name} reads tensor {number} before it is written")
        for number in operator.outputs:
            if number in known:
                raise ValueError(f"tensor {number} is written twice")
            known.add(number)
    for number in known | set(graph.outputs):
        if not 0 <= number < len(graph.tensors):
            raise ValueError(f"there is no tensor {number}")
    if not known.issuperset(graph.outputs):
        raise ValueError("an output is never written")


def _tensor(table: _Table, buffers: list[bytes]) -> Tensor:
    kind = table.scalar(1, "b", 0)
    quantization = table.table(4)
    return Tensor(
        name=table.text(3),
        kind="resource" if kind == _RESOURCE else _TYPES.get(kind, f"type {kind}"),
        shape=table.scalars(0, "i"),
        quantization=Quantization((), (), 0)
        if quantization is None
        else Quantization(
            quantization.floats(2), quantization.scalars(3, "q"), quantization.scalar(6, "i", 0)
        ),
        data=buffers[table.scalar(2, "I", 0)],
    )
