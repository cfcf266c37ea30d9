"""Operators of a streaming graph as operations of the engine."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from . import hkm
from .fixed_point import float32, logistic_table, multiplier_of, requantize_table
from .layout import Layout, View, ints, refused

if TYPE_CHECKING:
    from .tflite import Graph, Operator, Tensor

    Filters = np.ndarray[tuple[int, int], np.dtype[np.int8]]

__all__ = ["BUILDERS", "PROBABILITY_SCALE", "Step", "composed", "copy", "one_scale"]

PROBABILITY_SCALE = 1 / 256
_PADDING_SAME = 0
_NONE, _RELU, _RELU_N1_TO_1, _RELU6 = range(4)
# Far beyond what training gives, and far from where float32 and the factors' shifts end.
_SCALES = (2.0**-40, 2.0**20)
_MOST_FACTOR = 2.0**30
_RANGES = {"int8": (-128, 127), "uint8": (0, 255)}


@dataclass
class Step:
    """An operation before its tensors have a place in the arena."""

    operation: hkm.Operation
    source: View
    target: View


@dataclass(frozen=True)
class _Options:
    """Numbers of the option fields of a convolution, in the schema's order."""

    activation: int
    dilation: int


_CONVOLUTION = _Options(activation=3, dilation=5)
_DEPTHWISE = _Options(activation=4, dilation=6)


def copy(source: View, target: View) -> Step:
    """Rows from one place to another."""
    operation = hkm.Operation(
        kind=hkm.Kind.COPY,
        columns=source.columns,
        row_stride=source.columns,
        positions=source.rows,
        input_step=source.stride,
        output_step=target.stride,
    )
    return Step(operation, source, target)


def _convolution(graph: Graph, layout: Layout, operator: Operator) -> Step:
    weights = graph.tensors[operator.inputs[1]]
    outputs, height, width, channels = weights.shape
    step = _over_time(graph, layout, operator, (height, width, channels), _CONVOLUTION)
    step.operation.kind = hkm.Kind.DENSE
    filters = _filters(weights).reshape(outputs, height * width * channels)
    step.operation.weights = filters.tobytes()
    _requantise(step.operation, graph, operator, filters, per_channel=True)
    _activate(step.operation, graph, operator, _CONVOLUTION.activation)
    return step


def _depthwise(graph: Graph, layout: Layout, operator: Operator) -> Step:
    weights = graph.tensors[operator.inputs[1]]
    _, height, width, channels = weights.shape
    if channels != layout.view(operator.inputs[0]).columns:
        raise refused("DEPTHWISE_CONV_2D that makes several channels of one")
    step = _over_time(graph, layout, operator, (height, width, channels), _DEPTHWISE)
    step.operation.kind = hkm.Kind.DEPTHWISE
    by_row = _filters(weights).reshape(height * width, channels)
    step.operation.weights = by_row.tobytes()
    _requantise(step.operation, graph, operator, by_row.T, per_channel=True)
    _activate(step.operation, graph, operator, _DEPTHWISE.activation)
    return step


def _over_time(
    graph: Graph,
    layout: Layout,
    operator: Operator,
    kernel: tuple[int, int, int],
    options: _Options,
) -> Step:
    """The step of a convolution whose only moving dimension is time."""
    name = operator.name
    height, width, channels = kernel
    source, target = _ends(layout, operator)
    shape = graph.tensors[operator.inputs[0]].shape
    if width != 1 or len(shape) != 4 or shape[0] != 1 or shape[2] != 1:
        raise refused(f"{name} over more than time: input {list(shape)}, kernel {list(kernel)}")
    dilation, stride = operator.option(options.dilation, 1), operator.option(2, 1)
    if min(height, dilation, stride) < 1:
        raise refused(f"{name} with kernel {height}, dilation {dilation}, stride {stride}")
    positions = (source.rows - (height - 1) * dilation - 1) // stride + 1
    padded = operator.option(0, 0, "b") == _PADDING_SAME and (height > 1 or stride > 1)
    if padded or positions != target.rows or channels != source.columns:
        raise refused(f"{name} with padding, or whose result has another size than it should")
    operation = hkm.Operation(
        rows=height,
        columns=channels,
        row_stride=dilation * source.stride if height > 1 else channels,
        positions=positions,
        input_step=stride * source.stride if positions > 1 else 0,
        output_step=target.stride if positions > 1 else 0,
    )
    return Step(operation, source, target)


def _fully_connected(graph: Graph, layout: Layout, operator: Operator) -> Step:
    weights = graph.tensors[operator.inputs[1]]
    source, target = _ends(layout, operator)
    outputs, length = weights.shape
    if length != source.rows * source.columns or target.rows * target.columns != outputs:
        raise refused("FULLY_CONNECTED over several rows at once")
    operation = hkm.Operation(
        kind=hkm.Kind.DENSE,
        rows=source.rows,
        columns=source.columns,
        row_stride=source.stride if source.rows > 1 else source.columns,
    )
    filters = _filters(weights).reshape(outputs, length)
    operation.weights = filters.tobytes()
    many = len(weights.quantization.scales) > 1
    _requantise(operation, graph, operator, filters, per_channel=many)
    _activate(operation, graph, operator, 0)
    return Step(operation, source, target)


def _filters(weights: Tensor) -> np.ndarray[tuple[int], np.dtype[np.int8]]:
    if weights.kind != "int8" or any(weights.quantization.zero_points):
        raise refused(f"weights that are {weights.kind} or not symmetric")
    return np.frombuffer(weights.data, np.int8)


def _requantise(
    operation: hkm.Operation,
    graph: Graph,
    operator: Operator,
    filters: Filters,
    *,
    per_channel: bool,
) -> None:
    """Fill in biases and factors; `filters` is [outputs, inputs]."""
    source, target = graph.tensors[operator.inputs[0]], graph.tensors[operator.outputs[0]]
    if (source.kind, target.kind) != ("int8", "int8"):
        raise refused(f"{operator.name} from {source.kind} to {target.kind}")
    (scale_in, zero_in), (scale_out, zero_out) = one_scale(source), one_scale(target)
    scales = graph.tensors[operator.inputs[1]].quantization.scales
    outputs = filters.shape[0]
    biases = [0] * outputs
    if len(operator.inputs) > 2 and operator.inputs[2] >= 0:
        biases = ints(graph.tensors[operator.inputs[2]].data)
    folded = [
        (bias - zero_in * int(row.sum(dtype=np.int64))) & 0xFFFFFFFF
        for bias, row in zip(biases, filters, strict=True)
    ]
    if len(scales) not in {1, outputs}:
        raise refused(f"{operator.name} with {len(scales)} scales for {outputs} outputs")
    factors = [
        # Without scales per channel the reference multiplies in float32 first.
        (scale_in * scale if per_channel else float32(scale_in * scale)) / scale_out
        for scale in (scales * outputs)[:outputs]
    ]
    if not all(0 <= factor < _MOST_FACTOR for factor in factors):
        raise refused(f"{operator.name} with scales that no training gives")
    multipliers = [multiplier_of(factor) for factor in factors]
    operation.outputs = outputs
    operation.zero_point = zero_out
    operation.requant = struct.pack(
        f"<{outputs}I{2 * outputs}i",
        *folded,
        *(multiplier for multiplier, _ in multipliers),
        *(shift for _, shift in multipliers),
    )


def _activate(operation: hkm.Operation, graph: Graph, operator: Operator, option: int) -> None:
    scale, zero_point = one_scale(graph.tensors[operator.outputs[0]])

    def stored(real: float) -> int:
        quotient = float32(real / scale)
        return zero_point + int(quotient + (0.5 if quotient >= 0 else -0.5))

    kind = operator.option(option, 0, "b")
    bounds = {
        _NONE: (-128, 127),
        _RELU: (stored(0.0), 127),
        _RELU6: (stored(0.0), stored(6.0)),
        _RELU_N1_TO_1: (stored(-1.0), stored(1.0)),
    }
    if kind not in bounds:
        raise refused(f"{operator.name} with fused activation {kind}")
    least, most = bounds[kind]
    operation.least, operation.most = max(least, -128), min(most, 127)


def _logistic(graph: Graph, layout: Layout, operator: Operator) -> Step:
    source, target = graph.tensors[operator.inputs[0]], graph.tensors[operator.outputs[0]]
    kinds = (source.kind, target.kind)
    if kinds != ("int8", "int8") or one_scale(target) != (PROBABILITY_SCALE, -128):
        raise refused("LOGISTIC that is not int8 with a result in steps of 1/256")
    return _table(layout, operator, logistic_table(*one_scale(source)))


def _quantize(graph: Graph, layout: Layout, operator: Operator) -> Step:
    source, target = graph.tensors[operator.inputs[0]], graph.tensors[operator.outputs[0]]
    if source.kind != "int8" or target.kind not in _RANGES:
        raise refused(f"QUANTIZE from {source.kind} to {target.kind}")
    (scale_in, zero_in), (scale_out, zero_out) = one_scale(source), one_scale(target)
    if scale_in / scale_out >= _MOST_FACTOR:
        raise refused("QUANTIZE between scales that no training gives")
    bounds = _RANGES[target.kind]
    table = requantize_table(scale_in / scale_out, zero_in, zero_out, *bounds)
    return _table(layout, operator, table)


def _table(layout: Layout, operator: Operator, table: bytes) -> Step:
    source, target = _ends(layout, operator)
    operation = hkm.Operation(
        kind=hkm.Kind.TABLE,
        columns=source.columns,
        positions=source.rows,
        input_step=source.stride,
        output_step=target.stride,
        weights=table,
    )
    return Step(operation, source, target)


def _ends(layout: Layout, operator: Operator) -> tuple[View, View]:
    return layout.view(operator.inputs[0]), layout.view(operator.outputs[0])


def one_scale(tensor: Tensor) -> tuple[float, int]:
    """Scale and zero point of a tensor that has one of each.

    Raises:
        ModelFormatError: it has not.
    """
    found = tensor.quantization
    single = len(found.scales) == len(found.zero_points) == 1
    if not single or not _SCALES[0] <= found.scales[0] <= _SCALES[1]:
        raise refused(f"tensor {tensor.name[-60:]!r} is not quantised with one usable scale")
    least, most = _RANGES.get(tensor.kind, (0, 0))
    if not least <= found.zero_points[0] <= most:
        raise refused(f"tensor {tensor.name[-60:]!r} is {tensor.kind}, its zero point is not")
    return found.scales[0], found.zero_points[0]


def composed(first: bytes, second: bytes) -> bytes:
    """`second` after `first`; both are tables by int8, -128 first."""
    return bytes(second[(value + 128) & 0xFF] for value in first)


BUILDERS = {
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _fully_connected,
    "LOGISTIC": _logistic,
    "QUANTIZE": _quantize,
}
"""Operators that compute, and what makes a step of them: (graph, layout, operator)."""
