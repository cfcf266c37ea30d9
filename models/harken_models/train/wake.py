"""Training a wake word: from a phrase to a model, stage after stage."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harken_models.pack import pack
from harken_models.train.check import check_same
from harken_models.train.fit import prepared_tensorflow
from harken_models.train.phrase import confusable_phrases
from harken_models.train.streaming import REPRESENTATIVE_ROWS, streaming_model
from harken_models.train.surroundings import PARTS, gather
from harken_models.train.voices import NATURAL, installed_voices
from harken_models.train.wake_clips import Clips, read_clips, write_clips
from harken_models.train.wake_fit import (
    Pools,
    hardest_windows,
    kept_rows,
    load_network,
    train_network,
)
from harken_models.train.wake_recipe import shape_of
from harken_models.train.wake_scenes import Plan, blocks, placed
from harken_models.train.work import Work

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from harken_models.train.progress import Progress, Report
    from harken_models.train.voices import Part
    from harken_models.train.wake_clips import Spoken
    from harken_models.train.wake_recipe import Recipe
    from harken_models.train.wake_scenes import Scenes
    from harken_models.train.work import Stage

__all__ = ["Trained", "train"]

_BLOCKS_AN_HOUR = 120
_HARD = 4000
_VERSION = 2
"""Counted up whenever the same settings would give another model, so that no old stage is taken."""
_NATURAL_SHARE = 0.65
_CHECKED_ROWS = 30_000


@dataclass(frozen=True)
class Trained:
    """A finished training.

    Attributes:
        model: the `.tflite` file.
        packed: the `.hkm` file.
        checked_steps: steps in which the two were compared, none of them differing.
        losses: of every batch, round after round.
        seconds: that each stage took, whenever it was made.
        scenes: folders with the scenes of each part, of what was said (`wake_clips`).
        clips: folder of what was said.
    """

    model: bytes
    packed: bytes
    checked_steps: int
    losses: list[list[float]]
    seconds: dict[str, float]
    scenes: Path
    clips: Path


class _Stages:
    """The stages of one training, each reading those before."""

    def __init__(self, recipe: Recipe, work: Work) -> None:
        self._recipe, self._work = recipe, work
        self._voices = installed_voices()
        self._form = {"shape": repr(shape_of(recipe)), "version": _VERSION}

    def confusables(self) -> Stage:
        recipe = self._recipe

        def make(folder: Path, _report: Report) -> None:
            phrases = confusable_phrases(recipe.phrase, recipe.confusables)
            (folder / "phrases.json").write_text(json.dumps(phrases), encoding="utf-8")

        return self._work.stage(
            "confusables", "what sounds alike", make, recipe.part("phrase", "confusables")
        )

    def clips(self, confusables: Stage) -> Stage:
        recipe, voices = self._recipe, self._voices

        def make(folder: Path, report: Report) -> None:
            phrases = json.loads((confusables.folder / "phrases.json").read_bytes())
            write_clips(folder, recipe, voices, phrases, report)

        settings = recipe.part("phrase", "seed", "natural", "formant", "sentences")
        settings["voices"] = [[voice.engine, voice.name] for voice in voices]
        return self._work.stage("clips", "voices speak", make, settings, [confusables])

    def surroundings(self, clips: Stage) -> Stage:
        recipe = self._recipe

        def make(folder: Path, report: Report) -> None:
            for done, part in enumerate(PARTS):
                report(done, len(PARTS), part)
                sentences = [each.samples for each in read_clips(clips.folder, part).sentences]
                rooms = recipe.rooms if part == "train" else max(2, recipe.rooms // 3)
                gather(folder, part, sentences, rooms, recipe.seed)

        return self._work.stage(
            "surroundings", "rooms and noise", make, recipe.part("seed", "rooms"), [clips]
        )

    def scenes(self, part: Part, clips: Stage, around: Stage) -> Stage:
        recipe = self._recipe

        def make(folder: Path, report: Report) -> None:
            plan = Plan(str(around.folder), part, recipe.seed)
            said = read_clips(clips.folder, part)
            times = recipe.times if part == "train" else 3
            fewer = max(1, times // 3)
            np.save(folder / "phrase.npy", placed(plan, _samples(said.phrase), times, report))
            other = Plan(str(around.folder), part, recipe.seed + 1000)
            alike = placed(other, _samples(said.confusable), fewer, report)
            np.save(folder / "confusable.npy", alike)
            np.save(folder / "blocks.npy", blocks(plan, _blocks(recipe, part), report))

        settings = recipe.part("seed", "times", "hours", "test_hours")
        settings["version"] = _VERSION
        return self._work.stage(
            f"scenes-{part}", f"scenes to {_AIM[part]}", make, settings, [clips, around]
        )

    def first_round(self, clips: Stage, scenes: Stage) -> Stage:
        recipe = self._recipe

        def make(folder: Path, report: Report) -> None:
            _train(recipe, _pools(recipe, clips, scenes, None), None, folder, report)

        settings = recipe.part("seed", "batch", "first_steps") | self._form
        return self._work.stage("first-round", "training", make, settings, [clips, scenes])

    def mined(self, around: Stage, first: Stage) -> Stage:
        """What the first round wrongly accepts in scenes that it has not seen."""
        recipe = self._recipe

        def make(folder: Path, report: Report) -> None:
            plan = Plan(str(around.folder), "train", recipe.seed + 2000)
            fresh = blocks(plan, 2 * _blocks(recipe, "train"), report)
            network = load_network(recipe, first.folder / "weights.npz")
            np.save(folder / "hard.npy", hardest_windows(network, fresh, _HARD, report))

        settings = recipe.part("seed", "hours")
        return self._work.stage("mined", "false accepts found", make, settings, [around, first])

    def second_round(self, clips: Stage, scenes: Stage, first: Stage, mined: Stage) -> Stage:
        recipe = self._recipe

        def make(folder: Path, report: Report) -> None:
            with np.load(first.folder / "weights.npz") as arrays:
                start = {name: arrays[name] for name in arrays.files}
            _train(recipe, _pools(recipe, clips, scenes, mined), start, folder, report)

        settings = recipe.part("seed", "batch", "second_steps") | self._form
        after = [clips, scenes, first, mined]
        return self._work.stage("second-round", "training on them as well", make, settings, after)

    def model(self, scenes: Stage, second: Stage) -> Stage:
        recipe = self._recipe

        def make(folder: Path, report: Report) -> None:
            report(0, 2, "quantising")
            network = load_network(recipe, second.folder / "weights.npz")
            model = streaming_model(network, _representative(scenes))
            packed = pack(model)
            report(1, 2, "comparing with TensorFlow Lite Micro")
            rows = _representative(scenes, _CHECKED_ROWS)
            steps = check_same(model, packed, rows)
            (folder / "model.tflite").write_bytes(model)
            (folder / "model.hkm").write_bytes(packed)
            (folder / "checked.json").write_text(json.dumps({"steps": steps}), encoding="utf-8")
            report(2, 2, "")

        return self._work.stage("model", "int8 model", make, {}, [scenes, second])


_AIM: dict[Part, str] = {
    "train": "train with",
    "validation": "choose the cut-off by",
    "test": "test with",
}


def train(recipe: Recipe, folder: Path, progress: Progress) -> Trained:
    """Train a wake word in a work folder; what is finished there already is taken as it is.

    Args:
        recipe: what is trained.
        folder: of the stages; several hundred megabytes.
        progress: shows how far it is.

    Raises:
        ConfigError, StartError: something is missing, or cannot be written; the hint says what.
        ModelFormatError: the result differs from TensorFlow Lite Micro.
    """
    stages = _Stages(recipe, Work(folder, progress))
    prepared_tensorflow()
    alike = stages.confusables()
    clips = stages.clips(alike)
    around = stages.surroundings(clips)
    scenes = {part: stages.scenes(part, clips, around) for part in PARTS}
    first = stages.first_round(clips, scenes["train"])
    mined = stages.mined(around, first)
    second = stages.second_round(clips, scenes["train"], first, mined)
    model = stages.model(scenes["train"], second)
    every = (alike, clips, around, *scenes.values(), first, mined, second, model)
    return Trained(
        model=(model.folder / "model.tflite").read_bytes(),
        packed=(model.folder / "model.hkm").read_bytes(),
        checked_steps=json.loads((model.folder / "checked.json").read_bytes())["steps"],
        losses=[
            json.loads((stage.folder / "losses.json").read_bytes()) for stage in (first, second)
        ],
        seconds={stage.folder.name: stage.seconds for stage in every},
        scenes=folder,
        clips=clips.folder,
    )


def _samples(said: Sequence[Spoken]) -> list[Any]:
    return [each.samples for each in said]


def _blocks(recipe: Recipe, part: Part) -> int:
    hours = {"train": recipe.hours, "validation": recipe.hours, "test": recipe.test_hours}
    return max(4, round(hours[part] * _BLOCKS_AN_HOUR))


def _pools(recipe: Recipe, clips: Stage, scenes: Stage, mined: Stage | None) -> Pools:
    said: Clips = read_clips(clips.folder, "train")
    rows = kept_rows(shape_of(recipe))
    natural = np.array([each.voice.engine in NATURAL for each in said.phrase], bool)
    phrase: Scenes = np.load(scenes.folder / "phrase.npy")
    along = np.resize(natural, len(phrase))
    chances = np.full(len(along), 1.0)
    if along.any() and not along.all():
        chances[along] = _NATURAL_SHARE / along.sum()
        chances[~along] = (1 - _NATURAL_SHARE) / (~along).sum()
    return Pools(
        phrase,
        chances.astype(np.float32),
        np.load(scenes.folder / "confusable.npy"),
        np.load(scenes.folder / "blocks.npy"),
        np.load(mined.folder / "hard.npy") if mined else np.empty((0, rows, 40), np.int8),
    )


def _train(recipe: Recipe, pools: Pools, start: Any, folder: Path, report: Report) -> None:
    network, losses = train_network(recipe, pools, start, report)
    arrays: dict[str, Any] = dict(network.state())
    np.savez(folder / "weights.npz", **arrays)
    (folder / "losses.json").write_text(json.dumps(losses), encoding="utf-8")


def _representative(scenes: Stage, most: int = REPRESENTATIVE_ROWS) -> Any:
    """A stream with the phrase, what sounds like it, and other things, one after another."""
    parts = [np.load(scenes.folder / f"{kind}.npy", mmap_mode="r") for kind in _KINDS]
    share = most // len(parts)
    return np.concatenate([part.reshape(-1, part.shape[-1])[:share] for part in parts])


_KINDS = ("phrase", "confusable", "blocks")
