"""A trained network as the device runs it: step by step, int8 throughout, a `.tflite` file.

Layers keep their newest rows in ring buffers (variables of the graph); what is read is joined with
what is new, a layer reads from the join, and its newest part is written back. The int8 ranges come
from running the float network, state and all, over a stream of real features.
"""

from __future__ import annotations

import importlib
import tempfile
from typing import TYPE_CHECKING, Any

import numpy as np

from harken_models.pack import FEATURE_SCALE, FEATURE_ZERO_POINT, FEATURES
from harken_models.train.silenced import silenced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harken_models.train.mixednet import Floats, Layer, MixedNet, Shape

    Rows = np.ndarray[tuple[int, int], np.dtype[np.int8]]
    AnyRows = np.ndarray[Any, np.dtype[np.int8]]

__all__ = ["REPRESENTATIVE_ROWS", "features_as_floats", "streaming_model"]

REPRESENTATIVE_ROWS = 6000
"""Rows that are enough for the ranges: a minute."""
_LARGEST = FEATURE_SCALE * 255


def features_as_floats(rows: AnyRows) -> Floats:
    """What int8 features [..., 40] stand for, as the network is trained on them: 0 to 26."""
    return (rows.astype(np.float32) - FEATURE_ZERO_POINT) * np.float32(FEATURE_SCALE)


def streaming_model(network: MixedNet, rows: Rows) -> bytes:
    """The network as an int8 `.tflite` file: input int8 [1, stride, 40], output uint8 [1, outputs].

    Input steps are 26/255 from -128, as `Features` gives them; outputs are probabilities in steps
    of 1/256.

    Args:
        network: trained; its normalisation is folded into its weights.
        rows: int8 [n, 40], a stream like those it will hear, in order; sets the int8 ranges.

    Raises:
        ValueError: `rows` is shorter than the network's window.
    """
    shape = network.shape
    if len(rows) < shape.window_rows + shape.stride:
        raise ValueError(f"{len(rows)} rows do not fill the window of {shape.window_rows}")
    tf: Any = importlib.import_module("tensorflow")
    module, step = _step_function(tf, shape, network.layers())
    concrete = tf.function(
        step, input_signature=[tf.TensorSpec([1, shape.stride, FEATURES], tf.float32)]
    ).get_concrete_function()
    with tempfile.TemporaryDirectory() as folder, silenced():
        tf.saved_model.save(module, folder, signatures=concrete)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.experimental_enable_resource_variables = True
        converter._experimental_variable_quantization = True  # else states stay float  # noqa: SLF001
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.int8
        converter.inference_output_type = tf.uint8
        converter.representative_dataset = lambda: _stream(rows, shape.stride)
        return bytes(converter.convert())


def _stream(rows: Rows, stride: int) -> Iterator[list[Floats]]:
    """Strides in order, after two that fix the input's range: its least value and its largest."""
    for value in (0.0, _LARGEST):
        yield [np.full((1, stride, FEATURES), value, np.float32)]
    values = features_as_floats(rows)
    for start in range(0, len(values) - stride + 1, stride):
        yield [values[None, start : start + stride]]


def _step_function(tf: Any, shape: Shape, layers: list[Layer]) -> tuple[Any, Any]:
    """What computes one step, and the module that owns its state."""
    module = tf.Module()
    kept = [shape.first_kernel - shape.stride]
    widths = [FEATURES]
    for block, layer in zip(shape.blocks, layers, strict=False):
        kept.append(max(block.kernels) - 1)
        widths.append(layer.weights.shape[-1])
    kept.append(shape.head_steps - 1)
    widths.append(layers[-2].weights.shape[-1])
    module.rings = [
        tf.Variable(tf.zeros([1, rows, 1, width]), trainable=False) if rows else None
        for rows, width in zip(kept, widths, strict=True)
    ]

    def joined(number: int, new: Any) -> Any:
        ring = module.rings[number]
        if ring is None:
            return new
        join = tf.concat([ring, new], 1)
        ring.assign(join[:, -ring.shape[1] :])
        return join

    def step(rows: Any) -> Any:
        first = joined(0, rows[:, :, None, :])
        flow = _dense(tf, first, layers[0], shape.stride)
        for number in range(1, len(layers) - 1):
            join = joined(number, flow)
            flow = _dense(tf, _mixed(tf, join, layers[number]), layers[number], 1)
        head = layers[-1]
        last = tf.reshape(joined(len(layers) - 1, flow), [1, -1])
        weights = head.weights.reshape(-1, shape.outputs)
        return tf.sigmoid(tf.matmul(last, weights) + head.bias)

    return module, step


def _dense(tf: Any, rows: Any, layer: Layer, stride: int) -> Any:
    result = tf.nn.conv2d(rows, layer.weights[:, None], [1, stride, 1, 1], "VALID")
    return tf.nn.relu(result + layer.bias)


def _mixed(tf: Any, join: Any, layer: Layer) -> Any:
    """The newest step of each share of the channels, through its own kernel."""
    results: list[Any] = []
    # With sizes given it becomes SPLIT_V, which published models have and the engine knows.
    sizes = [weights.shape[-1] for weights in layer.depthwise]
    shares = tf.split(join, sizes, axis=-1) if len(sizes) > 1 else [join]
    for share, weights in zip(shares, layer.depthwise, strict=True):
        newest = share[:, -len(weights) :]
        kernel = weights[:, None, :, None]
        results.append(tf.nn.depthwise_conv2d(newest, kernel, [1, 1, 1, 1], "VALID"))
    return tf.concat(results, -1) if len(results) > 1 else results[0]
