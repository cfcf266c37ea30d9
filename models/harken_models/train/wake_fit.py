"""Batches for a wake word, and what the network learns from them.

Every window gives several answers, one a step. Answers from the end of the phrase on are to be one,
those before its last fifth of a second nought, those between and long after it are not asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np

from harken_models.train.fit import fit, weighted_cross_entropy
from harken_models.train.mixednet import MixedNet
from harken_models.train.streaming import features_as_floats
from harken_models.train.wake_recipe import shape_of
from harken_models.train.wake_scenes import END_ROW

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from harken_models.train.mixednet import Floats, Shape
    from harken_models.train.progress import Report
    from harken_models.train.wake_recipe import Recipe
    from harken_models.train.wake_scenes import Scenes

__all__ = ["STEPS", "Pools", "hardest_windows", "load_network", "train_network", "window_rows"]

STEPS = 16
"""Answers to a window."""
_SAID = (1, 24)
_NOT_YET = -22
_RATE = 1.5e-3
_APART = 30
_AT_ONCE = 24


def window_rows(shape: Shape) -> int:
    """Rows of a window that gives `STEPS` answers."""
    return shape.window_rows + shape.stride * (STEPS - 1)


class Pools:
    """Scenes to take windows from.

    Args:
        phrase: int8 [n, PLACED_ROWS, 40].
        chances: of each of them.
        confusable: the same of what sounds alike.
        blocks: int8 [m, BLOCK_ROWS, 40].
        hard: int8 [k, window, 40] that were wrongly accepted before; may be none.
    """

    def __init__(
        self, phrase: Scenes, chances: Floats, confusable: Scenes, blocks: Scenes, hard: Scenes
    ) -> None:
        self.phrase, self.confusable, self.blocks, self.hard = phrase, confusable, blocks, hard
        self._along = np.cumsum(chances.astype(np.float64))
        self._along /= self._along[-1]

    def batches(self, shape: Shape, size: int, rng: np.random.Generator) -> Iterator[Any]:
        """Windows float32 [size, rows, 40], wanted answers and their weights [size, steps, 1]."""
        rows = window_rows(shape)
        said, alike = round(0.36 * size), round(0.2 * size)
        hard = round(0.2 * size) if len(self.hard) else 0
        at = np.arange(STEPS) * shape.stride + shape.window_rows - 1
        while True:
            windows = np.empty((size, rows, 40), np.int8)
            wanted = np.zeros((size, STEPS, 1), np.float32)
            weights = np.ones((size, STEPS, 1), np.float32)
            for place in range(size):
                if place < said:
                    scene = self.phrase[np.searchsorted(self._along, rng.random())]
                    start = END_ROW + int(rng.integers(8, 48)) - rows
                    since = start + at - END_ROW
                    wanted[place, :, 0] = (since >= _SAID[0]) & (since <= _SAID[1])
                    weights[place, :, 0] = wanted[place, :, 0] + (since < _NOT_YET)
                elif place < said + alike:
                    scene = self.confusable[int(rng.integers(len(self.confusable)))]
                    start = END_ROW + int(rng.integers(0, 60)) - rows
                elif place < said + alike + hard:
                    scene, start = self.hard[int(rng.integers(len(self.hard)))], 0
                else:
                    scene = self.blocks[int(rng.integers(len(self.blocks)))]
                    start = int(rng.integers(len(scene) - rows + 1))
                windows[place] = scene[start : start + rows]
            values = features_as_floats(windows)
            _mask(values, rng)
            yield values, wanted, weights


def _mask(values: Floats, rng: np.random.Generator) -> None:
    """Blank some channels, some time, in some windows (SpecAugment: Park et al., 2019)."""
    for window in values:
        if rng.random() < 0.3:
            first = int(rng.integers(36))
            window[:, first : first + int(rng.integers(1, 6))] = 0
        if rng.random() < 0.3:
            first = int(rng.integers(len(window) - 12))
            window[first : first + int(rng.integers(2, 12))] = 0


def train_network(
    recipe: Recipe, pools: Pools, start: Mapping[str, Floats] | None, report: Report
) -> tuple[MixedNet, list[float]]:
    """Train from new weights, or for a second time from `start` at a third of the rate."""
    shape = shape_of(recipe)
    network = MixedNet(shape, recipe.seed)
    second = start is not None
    if start is not None:
        network.restore(start)
    rng = np.random.default_rng([recipe.seed, 21, int(second)])
    losses = fit(
        network,
        pools.batches(shape, recipe.batch, rng),
        weighted_cross_entropy,
        recipe.second_steps if second else recipe.first_steps,
        _RATE / 2 if second else _RATE,
        report,
    )
    return network, losses


def load_network(recipe: Recipe, path: Path) -> MixedNet:
    """A network with the weights in an `.npz` file."""
    network = MixedNet(shape_of(recipe), recipe.seed)
    with np.load(path) as arrays:
        network.restore({name: arrays[name] for name in arrays.files})
    return network


def hardest_windows(network: MixedNet, scenes: Scenes, most: int, report: Report) -> Scenes:
    """Windows whose newest answer is the most wrong: int8 [at most `most`, window, 40].

    Args:
        network: trained.
        scenes: int8 [n, rows, 40] in which the phrase does not occur.
        most: how many; those with answers under a tenth are left out.
        report: called with scenes done.
    """
    tf: Any = importlib.import_module("tensorflow")
    shape, rows = network.shape, window_rows(network.shape)

    def answers_to(values: Any) -> Any:
        return tf.sigmoid(network(values)[:, :, 0])

    answer = tf.function(answers_to)
    found: list[tuple[float, int, int]] = []
    for first in range(0, len(scenes), _AT_ONCE):
        chunk = scenes[first : first + _AT_ONCE]
        for offset, answers in enumerate(answer(tf.constant(features_as_floats(chunk))).numpy()):
            found += [
                (score, first + offset, max(step * shape.stride + shape.window_rows - rows, 0))
                for score, step in _peaks(answers)
            ]
        report(min(first + _AT_ONCE, len(scenes)), len(scenes), f"{len(found)} found")
    found.sort(reverse=True)
    chosen = [scenes[number, start : start + rows] for _, number, start in found[:most]]
    return np.array(chosen, np.int8).reshape(-1, rows, 40)


def _peaks(answers: Floats) -> list[tuple[float, int]]:
    """The highest answers that are at least a second apart."""
    found: list[tuple[float, int]] = []
    left = answers.copy()
    while (score := float(left.max())) > 0.1:
        step = int(left.argmax())
        found.append((score, step))
        left[max(step - _APART, 0) : step + _APART] = 0
    return found
