"""A streaming network of mixed depthwise convolutions over time, for training and for the device.

Trained on whole windows, where every layer is an ordinary convolution without padding; the same
weights then run step by step with ring buffers (`harken_models.train.streaming`). Depthwise kernels
of several lengths share a layer (MixConv: Tan and Le, 2019); the stack of such layers on a strided
first convolution is that of keyword-spotting MixedNets (Rybakov et al., "Streaming keyword spotting
on mobile devices", 2020, for the streaming form).
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    Floats = np.ndarray[Any, np.dtype[np.float32]]

__all__ = ["BatchNorm", "Block", "Layer", "MixedNet", "Shape"]

FEATURES = 40
_EPSILON = 1e-3
_MOMENTUM = 0.99


@dataclass(frozen=True)
class Block:
    """One mixed layer: depthwise kernels over time, then a convolution over channels.

    Attributes:
        kernels: lengths in steps; the channels are shared out among them evenly.
        filters: channels that the layer gives.
    """

    kernels: tuple[int, ...]
    filters: int


@dataclass(frozen=True)
class Shape:
    """The form of a network.

    Attributes:
        blocks: mixed layers, in order.
        first_filters: channels of the first convolution, over all features.
        first_kernel: its length in rows of features.
        stride: rows of features (10 ms) in a step.
        head_steps: newest steps of the last layer that the answer is computed from.
        outputs: probabilities a step.
    """

    blocks: tuple[Block, ...]
    first_filters: int = 32
    first_kernel: int = 5
    stride: int = 3
    head_steps: int = 1
    outputs: int = 1

    @property
    def history_steps(self) -> int:
        """Steps before the newest that an answer depends on."""
        mixed = sum(max(block.kernels) - 1 for block in self.blocks)
        return mixed + self.head_steps - 1

    @property
    def window_rows(self) -> int:
        """Rows of features that one answer depends on."""
        return self.stride * self.history_steps + self.first_kernel

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one step."""
        total = self.first_kernel * FEATURES * self.first_filters
        channels = self.first_filters
        for block in self.blocks:
            total += sum(channels // len(block.kernels) * kernel for kernel in block.kernels)
            total += channels * block.filters
            channels = block.filters
        return total + self.head_steps * channels * self.outputs


@dataclass(frozen=True)
class BatchNorm:
    """What training learnt of a layer's results, to be folded into its weights: [channels] each."""

    gamma: Floats
    beta: Floats
    mean: Floats
    variance: Floats

    @property
    def factor(self) -> Floats:
        """What each channel is multiplied by."""
        return np.asarray(self.gamma / np.sqrt(self.variance + _EPSILON), np.float32)

    @property
    def bias(self) -> Floats:
        """What is added to each channel afterwards."""
        return np.asarray(self.beta - self.mean * self.factor, np.float32)


@dataclass(frozen=True)
class Layer:
    """Weights of one layer, normalisation folded in.

    Attributes:
        depthwise: a kernel [steps, channels of its share] each; none in the first layer.
        weights: [rows, inputs, filters]; one row in mixed layers.
        bias: [filters].
    """

    depthwise: tuple[Floats, ...]
    weights: Floats
    bias: Floats


class MixedNet:
    """A network in training.

    Args:
        shape: its form.
        seed: of its first weights.
        dropout: share of the last layer's channels that a window in training does without.
    """

    def __init__(self, shape: Shape, seed: int, dropout: float = 0.0) -> None:
        self._dropout, self._seed = dropout, seed
        self.shape = shape
        self._tf: Any = importlib.import_module("tensorflow")
        self._rng = np.random.default_rng(seed)
        self.trainable: dict[str, Any] = {}
        """Variables that training moves, by name."""
        self.moving: dict[str, Any] = {}
        """Variables that follow the data: means and variances."""
        self._make_layer("first", (shape.first_kernel, FEATURES, shape.first_filters))
        channels = shape.first_filters
        for number, block in enumerate(shape.blocks):
            self._make_block(number, block, channels)
            channels = block.filters
        head = (shape.head_steps, channels, shape.outputs)
        self._add("head/weights", self._normal(head, shape.head_steps * channels))
        self._add("head/bias", np.zeros(shape.outputs, np.float32))

    def __call__(self, rows: Any, *, training: bool = False) -> Any:
        """Answers to whole windows.

        Args:
            rows: float32 [batch, rows, 40], features in their own scale (0 to 26).
            training: use and follow the batch's own means and variances.

        Returns:
            float32 [batch, steps, outputs], before the sigmoid: one answer for every stride of
            rows from `shape.window_rows` on.
        """
        tf, shape = self._tf, self.shape
        first = tf.nn.conv1d(rows, self.trainable["first/weights"], shape.stride, "VALID")
        flow = self._normalised(first, "first", training=training)
        for number, block in enumerate(shape.blocks):
            mixed = self._mixed(flow, number, block)
            name = f"block{number}"
            spread = tf.nn.conv1d(mixed, self.trainable[f"{name}/weights"], 1, "VALID")
            flow = self._normalised(spread, name, training=training)
        if training and self._dropout:
            whole = [tf.shape(flow)[0], 1, flow.shape[2]]
            flow = tf.nn.dropout(flow, self._dropout, noise_shape=whole, seed=self._seed)
        answers = tf.nn.conv1d(flow, self.trainable["head/weights"], 1, "VALID")
        return answers + self.trainable["head/bias"]

    def layers(self) -> list[Layer]:
        """Every layer's weights with its normalisation folded in; the head comes last."""
        found = [self._folded("first", ())]
        for number, block in enumerate(self.shape.blocks):
            kernels = tuple(
                np.asarray(self.trainable[f"block{number}/kernel{share}"], np.float32)
                for share in range(len(block.kernels))
            )
            found.append(self._folded(f"block{number}", kernels))
        weights, bias = self.trainable["head/weights"], self.trainable["head/bias"]
        found.append(Layer((), np.asarray(weights, np.float32), np.asarray(bias, np.float32)))
        return found

    def state(self) -> dict[str, Floats]:
        """Copies of all variables, by name."""
        return {
            name: np.array(variable.numpy(), np.float32)
            for name, variable in (self.trainable | self.moving).items()
        }

    def restore(self, state: Mapping[str, Floats]) -> None:
        """Set all variables to what `state` once gave.

        Raises:
            KeyError: one is missing.
            ValueError: one has another shape.
        """
        for name, variable in (self.trainable | self.moving).items():
            variable.assign(state[name])

    def _mixed(self, flow: Any, number: int, block: Block) -> Any:
        tf = self._tf
        steps = flow.shape[1] - max(block.kernels) + 1
        results: list[Any] = []
        for share, part in enumerate(tf.split(flow, len(block.kernels), axis=-1)):
            kernel = self.trainable[f"block{number}/kernel{share}"]
            newest = part[:, -(steps + kernel.shape[0] - 1) :]
            # As a product of matrices: depthwise convolutions take a processor half as long again.
            mixed = tf.matmul(_along_time(tf, kernel, steps), tf.transpose(newest, [2, 1, 0]))
            results.append(tf.transpose(mixed, [2, 1, 0]))
        return tf.concat(results, -1) if len(results) > 1 else results[0]

    def _normalised(self, flow: Any, name: str, *, training: bool) -> Any:
        tf = self._tf
        mean, variance = self.moving[f"{name}/mean"], self.moving[f"{name}/variance"]
        if training:
            batch_mean, batch_variance = tf.nn.moments(flow, [0, 1])
            mean.assign(_MOMENTUM * mean + (1 - _MOMENTUM) * batch_mean)
            variance.assign(_MOMENTUM * variance + (1 - _MOMENTUM) * batch_variance)
            mean, variance = batch_mean, batch_variance
        factor = self.trainable[f"{name}/gamma"] * tf.math.rsqrt(variance + _EPSILON)
        return tf.nn.relu((flow - mean) * factor + self.trainable[f"{name}/beta"])

    def _folded(self, name: str, kernels: tuple[Floats, ...]) -> Layer:
        norm = BatchNorm(
            *(np.asarray(self.trainable[f"{name}/{part}"]) for part in ("gamma", "beta")),
            *(np.asarray(self.moving[f"{name}/{part}"]) for part in ("mean", "variance")),
        )
        weights = np.asarray(self.trainable[f"{name}/weights"]) * norm.factor
        return Layer(kernels, np.asarray(weights, np.float32), norm.bias)

    def _make_block(self, number: int, block: Block, channels: int) -> None:
        if channels % len(block.kernels):
            raise ValueError(f"{channels} channels are not shared evenly by {block.kernels}")
        share = channels // len(block.kernels)
        for index, kernel in enumerate(block.kernels):
            weights = self._normal((kernel, share), kernel)
            self._add(f"block{number}/kernel{index}", weights)
        self._make_layer(f"block{number}", (1, channels, block.filters))

    def _make_layer(self, name: str, size: tuple[int, int, int]) -> None:
        filters = size[-1]
        self._add(f"{name}/weights", self._normal(size, size[0] * size[1]))
        self._add(f"{name}/gamma", np.ones(filters, np.float32))
        self._add(f"{name}/beta", np.zeros(filters, np.float32))
        for part, start in (("mean", 0.0), ("variance", 1.0)):
            initial = np.full(filters, start, np.float32)
            self.moving[f"{name}/{part}"] = self._tf.Variable(initial, trainable=False)

    def _normal(self, size: tuple[int, ...], inputs: int) -> Floats:
        """First weights that keep a signal's power (He et al., 2015)."""
        return np.asarray(self._rng.normal(0, np.sqrt(2 / inputs), size), np.float32)

    def _add(self, name: str, value: Floats) -> None:
        self.trainable[name] = self._tf.Variable(value)


def _along_time(tf: Any, kernel: Any, steps: int) -> Any:
    """A kernel [taps, channels] as matrices [channels, steps, steps + taps - 1] that slide it."""
    inputs = steps + kernel.shape[0] - 1
    # A row with `steps` noughts after the taps, read again and again, moves on by one each time.
    row = tf.pad(tf.transpose(kernel), [[0, 0], [0, steps]])
    rows = tf.tile(row, [1, steps])[:, : steps * inputs]
    return tf.reshape(rows, [-1, steps, inputs])
