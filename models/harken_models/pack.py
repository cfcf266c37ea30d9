"""Packs microWakeWord v2 models (`.tflite`) for the int8 engine (`.hkm`).

What the reference computes in floating point when it loads a model (requantisation factors,
activation bounds, the sigmoid) is computed here, once, into integers: the device needs no float.
The input's zero point moves into the biases, so that a layer is a plain dot product.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from . import hkm, tflite
from .fixed_point import float32, logistic_table, multiplier_of, requantize_table
from .layout import Layout, Lifetime, View, ints, place, refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from .tflite import Graph, Operator, Tensor

__all__ = ["FEATURES", "FEATURE_SCALE", "FEATURE_ZERO_POINT", "pack"]

FEATURES = 40
FEATURE_SCALE = 26 / 255
FEATURE_ZERO_POINT = -128
_SCALE_TOLERANCE = 1e-6
_PADDING_SAME = 0
_NONE, _RELU, _RELU_N1_TO_1, _RELU6 = range(4)
_VIEWS = {"STRIDED_SLICE", "SPLIT_V", "VAR_HANDLE", "CALL_ONCE", "READ_VARIABLE", "ASSIGN_VARIABLE"}
_RANGES = {"int8": (-128, 127), "uint8": (0, 255)}


def pack(model: bytes) -> bytes:
    """Pack a streaming `.tflite` model for the engine.

    Args:
        model: the file, as microWakeWord v2 publishes them: int8 in, [1, stride, 40].

    Returns:
        The `.hkm` file.

    Raises:
        ModelFormatError: the file is damaged, or the engine cannot run it; says why.
    """
    read = tflite.read(model)
    try:
        return hkm.encode(_Packing(read).packed())
    except struct.error as error:
        raise refused(f"a layer is too large for the packed format ({error})") from error
    except (ValueError, IndexError, KeyError) as error:
        raise refused(f"its operators do not fit together ({error})") from error


@dataclass
class _Ring:
    """A state of the stream: a variable, the join that holds it, and its first bytes."""

    value: int
    joined: int = -1
    rows: int = 0
    dropped: int = 0


@dataclass
class _Step:
    """An operation before its tensors have a place: `source` and `target` are views."""

    operation: hkm.Operation
    source: View
    target: View
    order: int
    tensors: tuple[int, int] = field(default=(-1, -1))


class _Packing:
    """One pass over a graph."""

    def __init__(self, model: tflite.Model) -> None:
        self._graphs = model.graphs
        self._graph: Graph = model.graphs[0]
        self._layout = Layout(self._graph)
        self._steps: list[_Step] = []
        self._rings: dict[str, _Ring] = {}
        self._handles: dict[int, str] = {}
        self._builders: dict[str, Callable[[int, Operator], None]] = {
            "CONV_2D": self._convolution,
            "DEPTHWISE_CONV_2D": self._depthwise,
            "FULLY_CONNECTED": self._fully_connected,
            "LOGISTIC": self._logistic,
            "QUANTIZE": self._quantize,
        }

    def packed(self) -> hkm.Packed:
        """The model with every tensor in its place."""
        stride = self._check_input()
        self._find_rings()
        for order, operator in enumerate(self._graph.operators):
            self._add_copies(order)
            builder = self._builders.get(operator.name)
            if builder is not None:
                builder(order, operator)
            elif operator.name not in _VIEWS | {"CONCATENATION", "RESHAPE"}:
                raise refused(f"it uses {operator.name}, which the engine does not have")
        self._finish_output()
        offsets, arena = place(self._lifetimes())
        return hkm.Packed(
            stride=stride,
            features=FEATURES,
            arena_size=arena,
            input=_address(self._layout.view(self._graph.inputs[0]), offsets),
            output=_address(self._output, offsets),
            regions=[self._region(ring, offsets) for ring in self._rings.values()],
            operations=[_placed(step, offsets) for step in self._steps]
            + [self._shift(ring, offsets) for ring in self._rings.values()],
        )

    def _check_input(self) -> int:
        if len(self._graph.inputs) != 1 or len(self._graph.outputs) != 1:
            raise refused("it has not exactly one input and one output")
        tensor = self._graph.tensors[self._graph.inputs[0]]
        rows, columns = self._layout.rows_columns(self._graph.inputs[0])
        if tensor.kind != "int8" or columns != FEATURES:
            raise refused(
                f"its input is {tensor.kind} {list(tensor.shape)}, not int8 with {FEATURES} features"
            )
        scale, zero = _per_tensor(tensor)
        if abs(scale - FEATURE_SCALE) > _SCALE_TOLERANCE or zero != FEATURE_ZERO_POINT:
            raise refused(
                f"its input has scale {scale:.6f} and zero point {zero}; the speech features come "
                f"with {FEATURE_SCALE:.6f} and {FEATURE_ZERO_POINT}"
            )
        if not self._layout.view(self._graph.inputs[0]).dense:
            raise refused("its input does not lie in one piece")
        return rows

    # Ring buffers -------------------------------------------------------------------------

    def _find_rings(self) -> None:
        initial = self._initial_values()
        joins = {
            part: operator
            for operator in self._graph.operators
            if operator.name == "CONCATENATION"
            for part in operator.inputs
        }
        assigned: set[str] = set()
        for operator in self._graph.operators:
            if operator.name == "VAR_HANDLE":
                self._handles[operator.outputs[0]] = _variable(operator)
            elif operator.name == "READ_VARIABLE":
                name = self._handles[operator.inputs[0]]
                if name in self._rings or name in assigned:
                    raise refused(f"state {name} is read twice in a step, or after it was written")
                self._rings[name] = self._ring(operator.outputs[0], joins, initial.get(name, b""))
            elif operator.name == "ASSIGN_VARIABLE":
                name = self._handles[operator.inputs[0]]
                self._assign(name, operator.inputs[1])
                assigned.add(name)
        if assigned != set(self._rings):
            raise refused("a state is read but never written, or the other way round")

    def _initial_values(self) -> dict[str, bytes]:
        values: dict[str, bytes] = {}
        for operator in self._graph.operators:
            if operator.name != "CALL_ONCE":
                continue
            start = self._graphs[operator.option(0, 0)]
            handles: dict[int, str] = {}
            for step in start.operators:
                if step.name == "VAR_HANDLE":
                    handles[step.outputs[0]] = _variable(step)
                elif step.name == "ASSIGN_VARIABLE":
                    values[handles[step.inputs[0]]] = start.tensors[step.inputs[1]].data
                else:
                    raise refused(f"its states start from {step.name}, not from constants")
        return values

    def _ring(self, state: int, joins: dict[int, Operator], initial: bytes) -> _Ring:
        operator = joins.get(state)
        rows, columns = self._layout.rows_columns(state)
        if operator is None or operator.inputs[0] != state:
            raise refused("a state is used otherwise than as the oldest rows of a ring buffer")
        joined = operator.outputs[0]
        view = self._layout.view(joined)
        if view.root != joined or self._layout.view(state).root != joined:
            raise refused("a ring buffer lies inside another tensor")
        if len(initial) != rows * columns or len(set(initial)) != 1:
            raise refused("a state does not start with one value throughout")
        value = initial[0] - 256 if initial[0] > 127 else initial[0]
        return _Ring(value, joined, rows, view.rows - rows)

    def _assign(self, name: str, value: int) -> None:
        ring = self._rings.get(name)
        if ring is None:
            raise refused(f"state {name} is written before it is read")
        view = self._layout.view(value)
        kept = View(
            ring.joined, ring.dropped * view.columns, ring.rows, view.columns, view.columns
        )
        if view != kept or ring.dropped < 1:
            raise refused(f"state {name} is not the newest rows of its ring buffer")

    def _region(self, ring: _Ring, offsets: dict[int, int]) -> hkm.Region:
        columns = self._layout.view(ring.joined).columns
        return hkm.Region(offsets[ring.joined], ring.rows * columns, ring.value)

    def _shift(self, ring: _Ring, offsets: dict[int, int]) -> hkm.Operation:
        view = self._layout.view(ring.joined)
        at = offsets[ring.joined]
        return hkm.Operation(
            kind=hkm.Kind.SHIFT,
            input=at,
            output=at,
            rows=view.rows,
            columns=view.columns,
            row_stride=view.columns,
            outputs=ring.dropped,
        )

    # Operators ----------------------------------------------------------------------------

    def _add_copies(self, order: int) -> None:
        for part, link in self._layout.copies.get(order, []):
            if self._graph.tensors[part].data:
                raise refused("it joins a constant to the stream")
            source = self._layout.view(part)
            if link.reshaped:
                target = self._layout.inside(link, source.rows, source.columns)
            else:
                target = self._layout.inside(link, source.rows, source.columns)
            operation = hkm.Operation(
                kind=hkm.Kind.COPY,
                input=0,
                output=0,
                columns=source.columns,
                row_stride=source.columns,
                positions=source.rows,
                input_step=source.stride,
                output_step=target.stride,
            )
            self._steps.append(_Step(operation, source, target, order))

    def _convolution(self, order: int, operator: Operator) -> None:
        weights = self._graph.tensors[operator.inputs[1]]
        outputs, height, width, channels = weights.shape
        self._over_time(order, operator, (height, width, channels), 3)
        step = self._steps[-1]
        step.operation.kind = hkm.Kind.DENSE
        step.operation.outputs = outputs
        by_output = np.frombuffer(weights.data, np.int8).reshape(outputs, -1)
        self._set_filters(step, operator, by_output, per_channel=True, activation=3)

    def _depthwise(self, order: int, operator: Operator) -> None:
        weights = self._graph.tensors[operator.inputs[1]]
        _, height, width, channels = weights.shape
        if operator.option(3, 0) > 1 or channels != self._layout.view(operator.inputs[0]).columns:
            raise refused("DEPTHWISE_CONV_2D that makes several channels of one")
        self._over_time(order, operator, (height, width, channels), 5)
        step = self._steps[-1]
        step.operation.kind = hkm.Kind.DEPTHWISE
        step.operation.outputs = channels
        by_row = np.frombuffer(weights.data, np.int8).reshape(-1, channels)
        self._set_filters(step, operator, by_row.T, per_channel=True, activation=4)
        step.operation.weights = weights.data

    def _over_time(
        self, order: int, operator: Operator, kernel: tuple[int, int, int], dilations: int
    ) -> None:
        """Add the step of a convolution whose only moving dimension is time."""
        name = operator.name
        height, width, channels = kernel
        source, target = self._ends(operator)
        shape = self._graph.tensors[operator.inputs[0]].shape
        if width != 1 or len(shape) != 4 or shape[0] != 1 or shape[2] != 1:
            raise refused(f"{name} over anything but time: input {list(shape)}, kernel {kernel}")
        dilation = operator.option(dilations + (1 if name == "DEPTHWISE_CONV_2D" else 2), 1)
        stride = operator.option(2, 1)
        positions = (source.rows - (height - 1) * dilation - 1) // stride + 1
        padded = operator.option(0, 0, "b") == _PADDING_SAME and (height > 1 or stride > 1)
        if padded or positions != target.rows or channels != source.columns:
            raise refused(f"{name} with padding, or whose result has another length than it should")
        operation = hkm.Operation(
            kind=0,
            input=0,
            output=0,
            rows=height,
            columns=channels,
            row_stride=dilation * source.stride if height > 1 else channels,
            positions=positions,
            input_step=stride * source.stride if positions > 1 else 0,
            output_step=target.stride if positions > 1 else 0,
        )
        self._steps.append(_Step(operation, source, target, order))

    def _fully_connected(self, order: int, operator: Operator) -> None:
        weights = self._graph.tensors[operator.inputs[1]]
        source, target = self._ends(operator)
        outputs, length = weights.shape
        if length != source.rows * source.columns or target.rows * target.columns != outputs:
            raise refused("FULLY_CONNECTED over several rows at once")
        operation = hkm.Operation(
            kind=hkm.Kind.DENSE,
            input=0,
            output=0,
            rows=source.rows,
            columns=source.columns,
            row_stride=source.stride if source.rows > 1 else source.columns,
            outputs=outputs,
        )
        step = _Step(operation, source, target, order)
        self._steps.append(step)
        by_output = np.frombuffer(weights.data, np.int8).reshape(outputs, length)
        self._set_filters(step, operator, by_output, per_channel=False, activation=0)

    def _set_filters(
        self,
        step: _Step,
        operator: Operator,
        by_output: np.ndarray[tuple[int, int], np.dtype[np.int8]],
        *,
        per_channel: bool,
        activation: int,
    ) -> None:
        """Fill in weights and requantisation; `by_output` is [outputs, inputs]."""
        weights = self._graph.tensors[operator.inputs[1]]
        source = self._graph.tensors[operator.inputs[0]]
        target = self._graph.tensors[operator.outputs[0]]
        kinds = (source.kind, weights.kind, target.kind)
        if kinds != ("int8", "int8", "int8") or any(weights.quantization.zero_points):
            raise refused(f"{operator.name} that is not int8 with symmetric weights")
        outputs = by_output.shape[0]
        scale_in, zero_in = _per_tensor(source)
        scale_out, zero_out = _per_tensor(target)
        bias = np.zeros(outputs, np.int64)
        if len(operator.inputs) > 2 and operator.inputs[2] >= 0:
            bias[:] = ints(self._graph.tensors[operator.inputs[2]].data)
        bias -= zero_in * by_output.astype(np.int64).sum(axis=1)
        scales = weights.quantization.scales
        if len(scales) not in {1, outputs}:
            raise refused(f"{operator.name} with {len(scales)} scales for {outputs} outputs")
        factors = [
            # One scale for all: the reference multiplies in float32 first.
            scale_in * scale / scale_out
            if per_channel or len(scales) > 1
            else float32(scale_in * scale) / scale_out
            for scale in (scales * outputs)[:outputs]
        ]
        multipliers = [multiplier_of(factor) for factor in factors]
        step.operation.weights = by_output.tobytes()
        step.operation.requant = (
            bias.astype(np.uint32).astype("<u4").tobytes()
            + np.array([each[0] for each in multipliers], "<i4").tobytes()
            + np.array([each[1] for each in multipliers], "<i4").tobytes()
        )
        least, most = _activation_range(
            operator.option(activation, 0, "b"), scale_out, zero_out, operator.name
        )
        step.operation.zero_point, step.operation.least, step.operation.most = zero_out, least, most

    def _logistic(self, order: int, operator: Operator) -> None:
        source = self._graph.tensors[operator.inputs[0]]
        target = self._graph.tensors[operator.outputs[0]]
        if source.kind != "int8" or target.kind != "int8" or _per_tensor(target) != (1 / 256, -128):
            raise refused("LOGISTIC that is not int8 with a result in steps of 1/256")
        self._add_table(order, operator, logistic_table(*_per_tensor(source)))

    def _quantize(self, order: int, operator: Operator) -> None:
        source = self._graph.tensors[operator.inputs[0]]
        target = self._graph.tensors[operator.outputs[0]]
        if source.kind != "int8" or target.kind not in _RANGES:
            raise refused(f"QUANTIZE from {source.kind} to {target.kind}")
        (scale_in, zero_in), (scale_out, zero_out) = _per_tensor(source), _per_tensor(target)
        table = requantize_table(scale_in / scale_out, zero_in, zero_out, *_RANGES[target.kind])
        self._add_table(order, operator, table)

    def _add_table(self, order: int, operator: Operator, table: bytes) -> None:
        source, target = self._ends(operator)
        last = self._steps[-1] if self._steps else None
        if (
            last is not None
            and last.operation.kind == hkm.Kind.TABLE
            and last.target == source
            and self._readers(operator.inputs[0]) == 1
        ):
            # Two functions of one byte are one function of one byte.
            last.operation.weights = _composed(last.operation.weights, table)
            last.target = target
            last.operation.output_step = target.stride
            return
        operation = hkm.Operation(
            kind=hkm.Kind.TABLE,
            input=0,
            output=0,
            columns=source.columns,
            positions=source.rows,
            input_step=source.stride,
            output_step=target.stride,
            weights=table,
        )
        self._steps.append(_Step(operation, source, target, order))

    def _readers(self, tensor: int) -> int:
        used = sum(operator.inputs.count(tensor) for operator in self._graph.operators)
        return used + self._graph.outputs.count(tensor)

    def _ends(self, operator: Operator) -> tuple[View, View]:
        return self._layout.view(operator.inputs[0]), self._layout.view(operator.outputs[0])

    def _finish_output(self) -> None:
        number = self._graph.outputs[0]
        tensor = self._graph.tensors[number]
        self._output = self._layout.view(number)
        scale, zero = _per_tensor(tensor)
        wanted = {"int8": -128, "uint8": 0}.get(tensor.kind)
        if self._output.rows * self._output.columns != 1 or (scale, zero) != (1 / 256, wanted):
            raise refused(
                f"its output is {tensor.kind} {list(tensor.shape)} with scale {scale:.6f}, "
                "not one probability in steps of 1/256"
            )
        last = self._steps[-1] if self._steps else None
        if last is None or last.operation.kind != hkm.Kind.TABLE or last.target != self._output:
            raise refused("it does not end in LOGISTIC or QUANTIZE")
        if tensor.kind == "int8":
            to_unsigned = bytes((value + 128) & 0xFF for value in range(-128, 128))
            last.operation.weights = _composed(last.operation.weights, to_unsigned)

    # Memory -------------------------------------------------------------------------------

    def _lifetimes(self) -> list[Lifetime]:
        last_order = len(self._graph.operators)
        spans: dict[int, list[int]] = {}
        for step in self._steps:
            for view in (step.source, step.target):
                spans.setdefault(view.root, []).append(step.order)
        # Rows arrive before the first operator; the output is read after the last.
        spans.setdefault(self._layout.view(self._graph.inputs[0]).root, []).append(-1)
        spans.setdefault(self._output.root, []).append(last_order)
        for ring in self._rings.values():
            spans.setdefault(ring.joined, []).extend((-1, last_order))
        return [
            Lifetime(root, self._size(root), min(orders), max(orders))
            for root, orders in spans.items()
        ]

    def _size(self, root: int) -> int:
        rows, columns = self._layout.rows_columns(root)
        return rows * columns


def _address(view: View, offsets: dict[int, int]) -> int:
    return offsets[view.root] + view.offset


def _placed(step: _Step, offsets: dict[int, int]) -> hkm.Operation:
    step.operation.input = _address(step.source, offsets)
    step.operation.output = _address(step.target, offsets)
    return step.operation


def _variable(operator: Operator) -> str:
    return f"{operator.text(0)}/{operator.text(1)}"


def _per_tensor(tensor: Tensor) -> tuple[float, int]:
    found = tensor.quantization
    if len(found.scales) != 1 or len(found.zero_points) != 1 or found.scales[0] <= 0:
        raise refused(f"tensor {tensor.name[-60:]!r} is not quantised with one scale")
    return found.scales[0], found.zero_points[0]


def _activation_range(kind: int, scale: float, zero_point: int, name: str) -> tuple[int, int]:
    def stored(real: float) -> int:
        quotient = float32(real / scale)
        return zero_point + int(quotient + (0.5 if quotient >= 0 else -0.5))

    least, most = _RANGES["int8"]
    if kind == _RELU:
        return max(least, stored(0.0)), most
    if kind == _RELU6:
        return max(least, stored(0.0)), min(most, stored(6.0))
    if kind == _RELU_N1_TO_1:
        return max(least, stored(-1.0)), min(most, stored(1.0))
    if kind != _NONE:
        raise refused(f"{name} with fused activation {kind}")
    return least, most


def _composed(first: bytes, second: bytes) -> bytes:
    """`second` after `first`; both are tables by int8, -128 first."""
    return bytes(second[(value + 128) & 0xFF] for value in first)
