"""Training the voice activity model: human talkers in rooms, noise and music, to an int8 model."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from harken_models.pack import pack
from harken_models.scenes.labels import SILENCE, SPEECH
from harken_models.train.check import check_same
from harken_models.train.fit import fit, prepared_tensorflow, weighted_cross_entropy
from harken_models.train.mixednet import Block, MixedNet, Shape
from harken_models.train.streaming import REPRESENTATIVE_ROWS, features_as_floats, streaming_model
from harken_models.train.vad_data import Heard, load, record, windows
from harken_models.train.vad_scenes import Scenes, split_sources
from harken_models.train.work import Work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from harken_models.train.progress import Progress, Report
    from harken_models.train.vad_scenes import Sources
    from harken_models.train.work import Stage

__all__ = [
    "NOISES",
    "SHAPE",
    "Aim",
    "Recipe",
    "TrainedNet",
    "label_weights",
    "train_on_scenes",
    "train_vad",
]

NOISES = (
    "white", "pink", "brown", "hum", "fan", "traffic", "babble",
    "tune", "tune", "beeps", "knocks", "gusts",
)  # fmt: skip
"""Kinds of noise, each as often as it stands here; vacuum cleaners and typing are never heard."""
SHAPE = Shape(
    (Block((5,), 40), Block((9,), 40), Block((13,), 40), Block((21,), 40)),
    first_filters=32,
    first_kernel=3,
    stride=1,
)
"""It hears 0.5 s and answers every 10 ms."""

_RATE = 4e-3
_FEWEST = 100
_ANSWERS = 250
_CHECKED_ROWS = 30_000
# Right after the voice has stopped an answer counts more: there a model likes to hold on.
_AFTER_END = (2, 12)
_AFTER_END_WEIGHT = 2.0


@dataclass(frozen=True)
class Recipe:
    """Everything that changes the model; the same recipe gives the same model on one machine.

    Attributes:
        seed: of all chance.
        scenes: how many scenes of ten seconds.
        steps: batches.
        batch: windows in a batch.
    """

    seed: int = 1
    scenes: int = 5000
    steps: int = 5000
    batch: int = 48

    def miniature(self) -> Recipe:
        """A training of seconds, to see that all of it works; its model is of no use."""
        return replace(self, scenes=6, steps=20, batch=4)

    @property
    def small(self) -> bool:
        """It is a miniature."""
        return self.scenes < _FEWEST


@dataclass(frozen=True)
class TrainedNet:
    """A finished training.

    Attributes:
        model: the `.tflite` file.
        packed: the `.hkm` file.
        macs: multiply-accumulates of a step.
        checked_steps: steps in which the two were compared, none of them differing.
        losses: of every batch.
    """

    model: bytes
    packed: bytes
    macs: int
    checked_steps: int
    losses: list[float]


def train_vad(
    folder: Path, recipe: Recipe, progress: Progress, sources: Sources | None = None
) -> TrainedNet:
    """Train the voice activity model; what is finished in `folder` already is taken as it is.

    Args:
        folder: of the stages; half a gigabyte.
        recipe: what is trained.
        progress: shows how far it is.
        sources: what scenes are made of; the installed recordings unless given.

    Raises:
        StartError: recordings or TensorFlow are missing, or the folder cannot be written.
        ModelFormatError: the result differs from TensorFlow Lite Micro.
    """
    aim = Aim("vad", SHAPE, 1, _RATE, _batches, weighted_cross_entropy)
    return train_on_scenes(aim, folder, recipe, progress, sources)


@dataclass(frozen=True)
class Aim:
    """What a network is trained for, on what both models hear.

    Attributes:
        name: of its stages.
        shape: of the network.
        stream: number of its stream of chance; each model has its own.
        rate: the highest learning rate.
        batches: of (what was heard, windows in a batch, chance), as `fit` takes them.
        loss: as `fit` takes it.
    """

    name: str
    shape: Shape
    stream: int
    rate: float
    batches: Callable[[Heard, int, np.random.Generator], Iterator[tuple[Any, ...]]]
    loss: Callable[..., Any]


def train_on_scenes(
    aim: Aim, folder: Path, recipe: Recipe, progress: Progress, sources: Sources | None
) -> TrainedNet:
    """Train a network; arguments and errors are those of `train_vad`."""
    prepared_tensorflow()
    work = Work(folder, progress)
    scenes = _heard_stage(work, recipe, sources)

    def make(place: Path, report: Report) -> None:
        network = MixedNet(aim.shape, recipe.seed)
        rng = np.random.default_rng([recipe.seed, aim.stream])
        batches = aim.batches(load(scenes.folder), recipe.batch, rng)
        losses = fit(network, batches, aim.loss, recipe.steps, aim.rate, report)
        np.savez(place / "weights.npz", **cast("Any", network.state()))
        (place / "losses.json").write_text(json.dumps(losses), encoding="utf-8")

    settings = asdict(recipe) | {"shape": asdict(aim.shape)}
    trained = work.stage(f"{aim.name}-network", "training", make, settings, [scenes])
    return _model_stage(work, aim.name, aim.shape, scenes, trained)


def _heard_stage(work: Work, recipe: Recipe, sources: Sources | None) -> Stage:
    """The scenes to train with; the noise model takes the same."""

    def make(place: Path, report: Report) -> None:
        made_of = sources or split_sources("train", NOISES)
        record(place, Scenes(made_of, np.random.default_rng(recipe.seed)), recipe.scenes, report)

    settings = {"seed": recipe.seed, "scenes": recipe.scenes, "noises": NOISES}
    return work.stage("scenes", "talkers in rooms and noise", make, settings)


def _model_stage(work: Work, name: str, shape: Shape, scenes: Stage, trained: Stage) -> TrainedNet:
    """Quantise a trained network and hold it to TensorFlow Lite Micro.

    Raises:
        ModelFormatError: an answer differs.
    """

    def make(place: Path, report: Report) -> None:
        network = MixedNet(shape, 0)
        with np.load(trained.folder / "weights.npz") as arrays:
            network.restore({key: arrays[key] for key in arrays.files})
        rows = load(scenes.folder).rows.reshape(-1, 40)
        report(0, 2, "quantising")
        model = streaming_model(network, rows[:REPRESENTATIVE_ROWS])
        packed = pack(model)
        report(1, 2, "comparing with TensorFlow Lite Micro")
        steps = check_same(model, packed, rows[-_CHECKED_ROWS:])
        (place / "model.tflite").write_bytes(model)
        (place / "model.hkm").write_bytes(packed)
        (place / "checked.json").write_text(json.dumps({"steps": steps}), encoding="utf-8")
        report(2, 2, "")

    made = work.stage(f"{name}-model", "int8 model", make, {}, [scenes, trained])
    return TrainedNet(
        model=(made.folder / "model.tflite").read_bytes(),
        packed=(made.folder / "model.hkm").read_bytes(),
        macs=shape.macs,
        checked_steps=json.loads((made.folder / "checked.json").read_bytes())["steps"],
        losses=json.loads((trained.folder / "losses.json").read_bytes()),
    )


def _batches(heard: Heard, batch: int, rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    """Windows float32, wanted answers and their weights [batch, answers, 1]."""
    first = SHAPE.window_rows - 1
    weights = label_weights(heard.labels)
    for rows, labels, weight in windows(
        heard, (heard.labels, weights), first + _ANSWERS, batch, rng
    ):
        values = features_as_floats(rows)
        _mask(values, rng)
        wanted = (labels[:, first:, None] == SPEECH).astype(np.float32)
        yield values, wanted, weight[:, first:, None]


def label_weights(labels: NDArray[np.int8]) -> NDArray[np.float32]:
    """What an answer to each row counts: nothing where the truth is unsure."""
    weights = np.isin(labels, (SILENCE, SPEECH)).astype(np.float32)
    for scene, weight in zip(labels, weights, strict=True):
        spoken = scene == SPEECH
        for end in np.flatnonzero(spoken[:-1] & ~spoken[1:]):
            after = slice(end + _AFTER_END[0], end + _AFTER_END[1])
            weight[after] *= np.where(scene[after] == SILENCE, _AFTER_END_WEIGHT, 1.0)
    return weights


def _mask(values: NDArray[np.float32], rng: np.random.Generator) -> None:
    """Blank some channels in some windows (SpecAugment: Park et al., 2019)."""
    for window in values:
        if rng.random() < 0.4:
            first = int(rng.integers(34))
            window[:, first : first + int(rng.integers(1, 7))] = 0
