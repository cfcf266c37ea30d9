"""Training the noise model: how much of each band is the talker, from the VAD's scenes."""

from __future__ import annotations

import importlib
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from harken_models.core import FEATURES
from harken_models.train.fit import fit, prepared_tensorflow
from harken_models.train.mixednet import Block, MixedNet, Shape
from harken_models.train.streaming import features_as_floats
from harken_models.train.vad import TrainedNet, heard_stage, model_stage
from harken_models.train.vad_data import Heard, load, windows
from harken_models.train.work import Work

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harken_models.train.progress import Progress, Report
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
    prepared_tensorflow()
    work = Work(folder, progress)
    scenes = heard_stage(work, recipe, sources)

    def make(place: Path, report: Report) -> None:
        network = MixedNet(SHAPE, recipe.seed)
        rng = np.random.default_rng([recipe.seed, 2])
        batches = _batches(load(scenes.folder), recipe.batch, rng)
        losses = fit(network, batches, _mask_error, recipe.steps, _RATE, report)
        np.savez(place / "weights.npz", **cast("Any", network.state()))
        (place / "losses.json").write_text(json.dumps(losses), encoding="utf-8")

    settings = asdict(recipe) | {"shape": asdict(SHAPE)}
    trained = work.stage("noise-network", "training", make, settings, [scenes])
    return model_stage(work, "noise", SHAPE, scenes, trained)


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
