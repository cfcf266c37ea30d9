"""The files of the voice activity model: model, manifest, packed model, card and picture."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.metadata import version
from typing import TYPE_CHECKING

import msgspec

from harken_models.core import Model
from harken_models.scenes import corpora
from harken_models.train.card import Section, draw_curves, table, write_card
from harken_models.train.check import arena_size
from harken_models.train.vad import SHAPE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from harken_models.measure.vad_accuracy import VadAccuracy
    from harken_models.train.vad import Recipe, TrainedNet

__all__ = ["data_and_licences", "facts", "made_by", "write_model", "write_vad"]

_SMOOTHED = 2  # probabilities that the device takes the mean of


def write_vad(
    folder: Path, recipe: Recipe, trained: TrainedNet, found: Mapping[str, VadAccuracy]
) -> list[Path]:
    """Write vad.tflite, .hkm, .json, .md, .svg, .png and .results.json into `folder`.

    Args:
        folder: where.
        recipe: how it was trained.
        trained: the model.
        found: how it and its rivals did, by the detector's name; its own first.
    """
    files = write_model(folder, "vad", trained, _SMOOTHED, for_esphome=True)
    results = folder / "vad.results.json"
    results.write_bytes(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
    picture = folder / "vad"
    draw_curves(
        picture,
        {name: (each.curve["false alarms"], each.curve["hits"]) for name, each in found.items()},
        ("other sound taken for speech", "speech heard"),
        "Voice activity: people in quiet, noise and music, 15 to 0 dB",
    )
    card = folder / "vad.md"
    sections = [
        Section("In short", _in_short(trained, found)),
        Section("Heard against wrongly heard", "![Speech heard by false alarms](vad.svg)"),
        Section("By kind of sound", _by_kind(found)),
        Section("Ends of speech", _ends(found)),
        Section("Data and licences", data_and_licences()),
        Section("Limits", _LIMITS),
        Section("Made by", made_by("train-vad", recipe, trained)),
    ]
    write_card(card, "Voice activity", _INTRO, sections)
    return [*files, results, picture.with_suffix(".svg"), picture.with_suffix(".png"), card]


_INTRO = (
    "Says every 10 ms how likely somebody speaks, 0 to 255. An int8 streaming network on the "
    "speech features that the wake words hear; it runs on Harken's engine, where `Vad` makes "
    "decisions of its answers, and has a manifest as ESPHome's `micro_wake_word` takes them."
)

_LIMITS = (
    "- Voices in the background are speech to it as much as the nearest one: babble is not told "
    "apart, and an answer that the echo canceller leaves audible may count as a voice.\n"
    "- Fewer than twenty people were trained on, most of them reading; the test knows nineteen "
    "others. Children, whispering, shouting and song were not tried.\n"
    "- Rooms and noise (but babble) are simulated, music is of two artists. The level of a sound "
    "is not in its features: the device sets a floor beside it.\n"
    "- The shape and the amount of data were chosen with an eye on scenes of the test talkers, so "
    "the figures are a little kinder than those of strangers would be.\n"
    "- The truth of the test comes from the same rule of levels as the labels of training; the "
    "rivals' makers drew the line between speech and none elsewhere."
)


def write_model(
    folder: Path, name: str, trained: TrainedNet, window: int, *, for_esphome: bool = False
) -> list[Path]:
    """Write NAME.tflite, NAME.hkm and NAME.json, the manifest.

    Args:
        folder: where.
        name: of the model.
        trained: the model.
        window: answers that the device takes the mean of.
        for_esphome: state what ESPHome alone asks for.
    """
    path = folder / name
    more: dict[str, object] = {}
    if for_esphome:
        more["tensor_arena_size"] = arena_size(trained.model)
        more["minimum_esphome_version"] = "2024.7.0"
    manifest: dict[str, object] = {
        "type": "micro",
        "wake_word": name,
        "author": "Harken",
        "website": "",
        "model": f"{name}.tflite",
        "trained_languages": [],
        "version": 2,
        "micro": {
            "probability_cutoff": 0.5,
            "feature_step_size": 10,
            "sliding_window_size": window,
            **more,
        },
    }
    files = [path.with_suffix(suffix) for suffix in (".tflite", ".hkm", ".json")]
    files[0].write_bytes(trained.model)
    files[1].write_bytes(trained.packed)
    files[2].write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return files


def facts(trained: TrainedNet) -> list[tuple[str, str]]:
    """Size, state and work, for a table."""
    return [
        ("multiply-accumulates", f"{trained.macs:,} a step of 10 ms"),
        ("size", f"{len(trained.model):,} B `.tflite`, {len(trained.packed):,} B packed"),
        ("state", f"{Model(trained.packed).state_size:,} B on Harken's engine"),
        ("TensorFlow Lite Micro", f"0 of {trained.checked_steps:,} steps differ"),
    ]


def _in_short(trained: TrainedNet, found: Mapping[str, VadAccuracy]) -> str:
    ours, *rivals = found.values()
    theirs = zip(list(found)[1:], rivals, strict=True)
    beside = ", ".join(f"{name} {each.area:.3f}" for name, each in theirs)
    rows = [
        ("area under the ROC curve", f"{ours.area:.3f} ({beside})"),
        ("lag of the end of speech, median", f"{ours.end_lag_ms:.0f} ms"),
        ("hears", f"{SHAPE.window_rows * 10} ms of the past"),
        *facts(trained),
    ]
    return table(("", ""), rows)


def _by_kind(found: Mapping[str, VadAccuracy]) -> str:
    kinds = list(next(iter(found.values())).groups)
    rows = [(kind, *(f"{each.groups[kind]:.3f}" for each in found.values())) for kind in kinds]
    rows.append(("all but babble", *(f"{each.area:.3f}" for each in found.values())))
    return (
        "Area under the ROC curve, mean over streams of a minute, every other one in a room "
        f"({next(iter(found.values())).minutes:.0f} minutes). The truth comes from the clean "
        "recordings' level alone; each detector is given the delay that suits it best. Babble "
        "counts in no other mean.\n\n" + table(("", *found), rows)
    )


def _ends(found: Mapping[str, VadAccuracy]) -> str:
    more = list(next(iter(found.values())).ends)
    rows = [
        (name, f"{each.end_lag_ms:.0f}", *(f"{each.ends[what]:g}" for what in more))
        for name, each in found.items()
    ]
    return (
        "Milliseconds from the last hop of speech to the first of ten in which the device decides "
        "that there is none, hang-over not counted.\n\n" + table(("", "median", *more), rows)
    )


def data_and_licences() -> str:
    """What a model was trained and tested on, as Markdown."""
    parts: list[str] = []
    splits: Mapping[corpora.Split, str] = {"train": "Trained on", "test": "Tested on"}
    for split, what in splits.items():
        people = corpora.talkers(split)
        minutes = sum(each.minutes for each in people)
        names = len({each.talker for each in people})
        sources: dict[tuple[str, str], float] = {}
        for each in people:
            key = (each.source, each.licence)
            sources[key] = sources.get(key, 0.0) + each.minutes
        rows = [
            (source, licence, f"{amount:.0f} min") for (source, licence), amount in sources.items()
        ]
        parts.append(
            f"{what} {minutes:.0f} minutes of {names} talkers:\n\n"
            + table(("package", "licence", ""), rows)
        )
    return "\n\n".join([*parts, _LICENCES])


_LICENCES = (
    "No talker and no piece of music is in both. Music: asterisk-moh-opsound-g722 (CC-BY-SA-3.0); "
    "other noise is synthetic. No recording is part of the weights or of Harken: the licences of "
    "the recordings bind whoever passes those on. The weights are Harken's own work under "
    "Apache-2.0; whoever takes weights for a work adapted from what they were trained on finds "
    "the recordings named here and in THIRD_PARTY.md, and can train again on others."
)


def made_by(command: str, recipe: Recipe, trained: TrainedNet) -> str:
    """Command, versions and settings."""
    return (
        f"`harken models {command}`, Harken {version('harken')}, TensorFlow "
        f"{version('tensorflow-cpu')}; {len(trained.losses):,} batches. "
        f"Settings: `{json.dumps(asdict(recipe), sort_keys=True)}`"
    )
