"""Batches for a wake word, and what the network learns from them.

Every window gives several answers, one a step. Answers from the end of the phrase on are to be one,
those before its last fifth of a second nought, those between and long after it are not asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np

from harken_models.core import FEATURES
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

__all__ = [
    "STEPS",
    "Pools",
    "hardest_windows",
    "kept_rows",
    "load_network",
    "train_network",
    "window_rows",
]

STEPS = 16
"""Answers to a window."""
_SAID = (2, 27)
_NOT_YET = -22
_RATE = 1.5e-3
_DROPOUT = 0.2
_PACES = (0.84, 1.2)
_TRACTS = (0.78, 1.25)
_APART = 30
_AFTER_PEAK = 6
_AT_ONCE = 24


def window_rows(shape: Shape) -> int:
    """Rows of a window that gives `STEPS` answers."""
    return shape.window_rows + shape.stride * (STEPS - 1)


def kept_rows(shape: Shape) -> int:
    """Rows that a window takes up at most, however fast it is said."""
    return round(window_rows(shape) * _PACES[1]) + 2


class Pools:
    """Scenes to take windows from.

    Args:
        phrase: int8 [n, PLACED_ROWS, 40].
        chances: of each of them.
        confusable: the same of what sounds alike.
        blocks: int8 [m, BLOCK_ROWS, 40].
        hard: int8 [k, `kept_rows`, 40] that were wrongly accepted before; may be none.
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
        kinds = self._kinds(size)
        at = np.arange(STEPS) * shape.stride + shape.window_rows - 1
        while True:
            values = np.empty((size, rows, FEATURES), np.float32)
            wanted = np.zeros((size, STEPS, 1), np.float32)
            weights = np.ones((size, STEPS, 1), np.float32)
            for place, kind in enumerate(kinds):
                pace = float(rng.uniform(*_PACES))
                scene, last = self._drawn(kind, round(rows * pace) + 2, rng)
                if kind == "phrase":
                    since = (last - END_ROW) / pace - (rows - 1 - at)
                    wanted[place, :, 0] = (since >= _SAID[0]) & (since <= _SAID[1])
                    weights[place, :, 0] = wanted[place, :, 0] + (since < _NOT_YET)
                values[place] = _paced(scene, last, rows, pace)
            yield _other_voices(values, rng), wanted, weights

    def _kinds(self, size: int) -> list[str]:
        shares = {"phrase": 0.28, "confusable": 0.16, "hard": 0.3 if len(self.hard) else 0.0}
        kinds = [kind for kind, share in shares.items() for _ in range(round(share * size))]
        return kinds + ["blocks"] * (size - len(kinds))

    def _drawn(self, kind: str, rows: int, rng: np.random.Generator) -> tuple[Any, int]:
        """A scene, and the last row of a window of up to `rows` in it."""
        if kind == "phrase":
            scene = self.phrase[np.searchsorted(self._along, rng.random())]
            return scene, END_ROW + int(rng.integers(8, 48))
        if kind == "confusable":
            scene = self.confusable[int(rng.integers(len(self.confusable)))]
            return scene, END_ROW + int(rng.integers(0, 60))
        if kind == "hard":
            return self.hard[int(rng.integers(len(self.hard)))], self.hard.shape[1] - 1
        scene = self.blocks[int(rng.integers(len(self.blocks)))]
        return scene, int(rng.integers(rows, len(scene)))


def _paced(scene: Any, last: int, rows: int, pace: float) -> Floats:
    """`rows` rows up to row `last`, as if all had been said `pace` times as fast."""
    at = np.maximum(last - np.arange(rows - 1, -1, -1) * pace, 0)
    before = at.astype(np.int64)
    after = np.minimum(before + 1, last)
    part = (at - before).astype(np.float32)[:, None]
    mixed = features_as_floats(scene[before]) * (1 - part)
    return np.asarray(mixed + features_as_floats(scene[after]) * part, np.float32)


def _other_voices(values: Floats, rng: np.random.Generator) -> Floats:
    """The windows as other people and microphones would have given them.

    Channels are stretched (vocal tract length perturbation: Jaitly and Hinton, 2013), tilted and
    bent; some channels or some time are blanked (SpecAugment: Park et al., 2019).
    """
    size = len(values)
    at = np.arange(FEATURES) * rng.uniform(*_TRACTS, (size, 1))
    # A tent around each wanted place: linear interpolation as a product of matrices.
    tents = np.maximum(0, 1 - np.abs(np.arange(FEATURES)[None, :, None] - at[:, None, :]))
    tents[:, -1] += at > FEATURES - 1
    bends = np.cos(np.pi * np.arange(FEATURES) / FEATURES * np.arange(1, 4)[:, None])
    curves = rng.normal(0, 1.1, (size, 3)) @ bends
    changed = values @ np.minimum(tents, 1).astype(np.float32)
    # What is silent stays silent.
    changed += (changed > 1) * curves[:, None].astype(np.float32)
    changed *= rng.uniform(0.9, 1.1, (size, 1, 1)).astype(np.float32)
    _mask(changed, rng)
    return np.asarray(np.clip(changed, 0, 26), np.float32)


def _mask(values: Floats, rng: np.random.Generator) -> None:
    """Blank some channels, and some time, in some windows."""
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
    """Train from new weights, or for a second time from `start` at a lower rate."""
    shape = shape_of(recipe)
    network = MixedNet(shape, recipe.seed, _DROPOUT)
    second = start is not None
    if start is not None:
        network.restore(start)
    rng = np.random.default_rng([recipe.seed, 21, int(second)])
    losses = fit(
        network,
        pools.batches(shape, recipe.batch, rng),
        weighted_cross_entropy,
        recipe.second_steps if second else recipe.first_steps,
        0.7 * _RATE if second else _RATE,
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
    """Windows whose newest answers are the most wrong: int8 [at most `most`, rows, 40].

    They are longer than a window, so that they can be said faster.

    Args:
        network: trained.
        scenes: int8 [n, rows, 40] in which the phrase does not occur.
        most: how many; those with answers under a tenth are left out.
        report: called with scenes done.
    """
    tf: Any = importlib.import_module("tensorflow")
    shape = network.shape
    rows = kept_rows(shape)

    def answers_to(values: Any) -> Any:
        return tf.sigmoid(network(values)[:, :, 0])

    answer = tf.function(answers_to)
    found: list[tuple[float, int, int]] = []
    for first in range(0, len(scenes), _AT_ONCE):
        chunk = scenes[first : first + _AT_ONCE]
        for offset, answers in enumerate(answer(tf.constant(features_as_floats(chunk))).numpy()):
            found += [
                (score, first + offset, step * shape.stride + shape.window_rows + _AFTER_PEAK)
                for score, step in _peaks(answers)
            ]
        report(min(first + _AT_ONCE, len(scenes)), len(scenes), f"{len(found)} found")
    found.sort(reverse=True)
    longest = scenes.shape[1]
    ends = [(number, min(max(end, rows), longest)) for _, number, end in found[:most]]
    chosen = [scenes[number, end - rows : end] for number, end in ends]
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
