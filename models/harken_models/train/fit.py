"""The training loop: Adam on batches, at a rate that falls along a cosine; reproducible."""

from __future__ import annotations

import importlib
import math
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from harken.errors import StartError
from harken_models.train.silenced import silenced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harken_models.train.mixednet import MixedNet

    Report = Callable[[int, int, str], None]

__all__ = ["fit", "prepared_tensorflow", "weighted_cross_entropy"]

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-7
_WARM_UP = 50
_TOLD_EVERY = 20


def prepared_tensorflow(threads: int = 2) -> Any:
    """TensorFlow, quiet and deterministic: the same seed gives the same weights on one machine.

    Sums are done in an order that depends on the number of threads, so that is fixed as well. To be
    called before anything else uses TensorFlow in the process.

    Raises:
        StartError: it is not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Its C++ greets on stderr, whatever the level, as it is loaded and as it computes first.
    with silenced():
        try:
            tf: Any = importlib.import_module("tensorflow")
        except ImportError as error:
            raise StartError(
                f"training needs TensorFlow ({error})",
                hint="install the dependency group: pip install --group train",
            ) from error
        tf.get_logger().setLevel("ERROR")
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        tf.config.experimental.enable_op_determinism()
        tf.random.set_seed(0)
        tf.constant(0)
    return tf


def weighted_cross_entropy(logits: Any, wanted: Any, weights: Any) -> Any:
    """Mean cross entropy of sigmoid answers; all three of one shape."""
    tf: Any = importlib.import_module("tensorflow")
    each = tf.nn.sigmoid_cross_entropy_with_logits(labels=wanted, logits=logits)
    return tf.reduce_sum(each * weights) / tf.maximum(tf.reduce_sum(weights), 1.0)


def fit(
    network: MixedNet,
    batches: Iterator[tuple[Any, ...]],
    loss: Callable[..., Any],
    steps: int,
    rate: float,
    report: Report,
) -> list[float]:
    """Train a network in place.

    Adam: Kingma and Ba, 2015. The rate rises over the first 50 steps, then falls to a hundredth
    along half a cosine (Loshchilov and Hutter, 2017).

    Args:
        network: what is trained.
        batches: (features float32 [batch, rows, 40], then whatever `loss` takes), the same shapes
            every time. They are taken in a thread of their own, one ahead.
        loss: of (answers before the sigmoid [batch, steps, outputs], the batch's other parts).
        steps: batches to take.
        rate: the highest learning rate.
        report: called now and then with steps done, steps in all and a note.

    Returns:
        The loss of every step.

    Raises:
        StartError: the loss is no number any more.
    """
    tf: Any = importlib.import_module("tensorflow")
    step = _compiled_step(tf, network, loss)
    losses: list[float] = []
    recent: list[Any] = []
    with ThreadPoolExecutor(1) as ahead:
        waiting = ahead.submit(next, batches)
        for number in range(steps):
            batch, waiting = waiting.result(), ahead.submit(next, batches)
            powers = np.array([_BETA_1, _BETA_2], np.float64) ** (number + 1)
            now = tf.constant(_rate_at(number, steps, rate), tf.float32)
            recent.append(step(now, tf.constant(powers, tf.float32), *map(tf.constant, batch)))
            if len(recent) == _TOLD_EVERY or number == steps - 1:
                losses += [float(value) for value in recent]
                recent = []
                if not math.isfinite(losses[-1]):
                    raise StartError(
                        f"training diverged at step {number}", hint="take a lower learning rate"
                    )
                report(number + 1, steps, f"loss {np.mean(losses[-100:]):.4f}")
    return losses


def _compiled_step(tf: Any, network: MixedNet, loss: Callable[..., Any]) -> Callable[..., Any]:
    """One step of Adam on a batch: of (rate, powers of both betas, rows, wanted...), the loss."""
    variables = list(network.trainable.values())
    first = [tf.Variable(tf.zeros_like(variable)) for variable in variables]
    second = [tf.Variable(tf.zeros_like(variable)) for variable in variables]

    def step(rate: Any, powers: Any, rows: Any, *wanted: Any) -> Any:
        with tf.GradientTape() as tape:
            value = loss(network(rows, training=True), *wanted)
        for variable, m, v, gradient in zip(
            variables, first, second, tape.gradient(value, variables), strict=True
        ):
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle, m=m.handle, v=v.handle,
                beta1_power=powers[0], beta2_power=powers[1], lr=rate,
                beta1=_BETA_1, beta2=_BETA_2, epsilon=_EPSILON, grad=gradient,
            )  # fmt: skip
        return value

    compiled: Callable[..., Any] = tf.function(step, jit_compile=True)
    return compiled


def _rate_at(number: int, steps: int, highest: float) -> float:
    if number < _WARM_UP:
        return highest * (number + 1) / _WARM_UP
    along = (number - _WARM_UP) / max(1, steps - _WARM_UP)
    return highest * (0.01 + 0.99 * (1 + math.cos(math.pi * along)) / 2)
