"""Training the noise model: how much of each band is the talker, from the VAD's scenes."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np

from harken_models.core import FEATURES
from harken_models.train.mixednet import Block, Shape
from harken_models.train.streaming import features_as_floats
from harken_models.train.vad import Aim, TrainedNet, train_on_scenes
from harken_models.train.vad_data import Heard, windows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harken_models.train.progress import Progress
    from harken_models.train.vad import Recipe
    from harken_models.train.vad_scenes import Sources

__all__ = ["SHAPE", "train_noise"]

SHAPE = Shape(
    (Block((5,), 48), Block((9,), 48), Block((13,), 48)),
    first_filters=48,
    first_kernel=3,
    stride=1,
    outputs=FEATURES,
)
"""It hears 0.3 s and gives a factor for each of 40 bands every 10 ms."""

_RATE = 3e-3
_ANSWERS = 200
# Too little let through is worse than too much: speech that is lost does not come back.
_LOST_SPEECH = 2.0


def train_noise(
    folder: Path, recipe: Recipe, progress: Progress, sources: Sources | None = None
) -> TrainedNet:
    """Train the noise model; what is finished in `folder` already is taken as it is.

    Args:
        folder: of the stages; with that of `train_vad` the scenes are made once.
        recipe: what is trained.
        progress: shows how far it is.
        sources: what scenes are made of; the installed recordings unless given.

    Raises:
        StartError: recordings or TensorFlow are missing, or the folder cannot be written.
        ModelFormatError: the result differs from TensorFlow Lite Micro.
    """
    aim = Aim("noise", SHAPE, 2, _RATE, _batches, _mask_error)
    return train_on_scenes(aim, folder, recipe, progress, sources)


def _batches(heard: Heard, batch: int, rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    """Windows float32, and wanted masks [batch, answers, 40], 0 to 1."""
    first = SHAPE.window_rows - 1
    for rows, masks in windows(heard, (heard.masks,), first + _ANSWERS, batch, rng):
        yield features_as_floats(rows), masks[:, first:].astype(np.float32) / 255


def _mask_error(answers: Any, wanted: Any) -> Any:
    """Mean squared error of the masks, more where speech would be lost."""
    tf: Any = importlib.import_module("tensorflow")
    wrong = tf.sigmoid(answers) - wanted
    return tf.reduce_mean(tf.square(wrong) * tf.where(wrong < 0, _LOST_SPEECH, 1.0))
