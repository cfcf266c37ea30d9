"""One model by itself: what it takes, how well it hears, how often it mishears."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from harken.errors import ModelMissingError
from harken_models import store
from harken_models.core import Model
from harken_models.measure.detectors import ModelVad
from harken_models.measure.ours import SHIPPED, shipped_tflite
from harken_models.measure.vad_accuracy import measure_vad
from harken_models.measure.wake_models import NOT_WORDS, PUBLISHED, read_model
from harken_models.measure.wake_scores import measure_wake
from harken_models.measure.wake_streams import SURROUNDINGS
from harken_models.pack import pack
from harken_models.tflite import read
from harken_models.train.card import draw_curves

if TYPE_CHECKING:
    from pathlib import Path

    from harken_models.train.progress import Progress

__all__ = ["ModelSize", "evaluate", "find_model", "model_size"]

_ENGINE: Final = "harken"


@dataclass(frozen=True, slots=True)
class ModelSize:
    """What a model takes.

    Attributes:
        tflite: bytes of the file.
        packed: bytes in the device's flash.
        state: bytes of RAM on the device's engine, in CPython's build of it.
        stride: rows of features, 10 ms each, in a step.
        macs: multiply-accumulates in a step.
    """

    tflite: int
    packed: int
    state: int
    stride: int
    macs: int


def find_model(name: str, path: Path) -> Path:
    """The `.tflite` that somebody means.

    Args:
        name: of a shipped or a published model, e.g. "vad" or "okay_nabu".
        path: the same, if it is a file.

    Raises:
        ModelMissingError: there is no such file or model; the hint names those there are.
    """
    if path.is_file():
        return path
    plain = name.replace("-", "_")
    if plain in PUBLISHED:
        return store.weights(plain.replace("_", "-"))
    try:
        return shipped_tflite(plain)
    except ModelMissingError:
        known = sorted([*PUBLISHED, *(found.stem for found in SHIPPED.glob("*.tflite"))])
        raise ModelMissingError(
            f"there is no model {name!r}, nor such a file",
            hint=f"give a .tflite with its manifest beside it, or one of {', '.join(known)}",
        ) from None


def evaluate(path: Path, folder: Path | None, progress: Progress, *, quick: bool) -> dict[str, Any]:
    """Measure a wake word or a voice activity model, told apart by its manifest.

    Args:
        path: `.tflite`, its manifest beside it.
        folder: where the ROC picture is written, NAME-roc.svg and .png; None: nowhere.
        progress: shows how far it is.
        quick: few phrases and minutes.

    Returns:
        Plain values: `kind`, `size` and what was measured.

    Raises:
        ModelError: the model or its manifest is missing, or the engine cannot run it.
        StartError: a corpus or a voice is not installed.
    """
    size = msgspec.to_builtins(model_size(path.read_bytes()))
    word = read_model(path)
    about: dict[str, Any] = {"model": path.stem, "size": size}
    if word.phrase == "vad":
        return about | _vad(path, folder, progress, quick=quick)
    if word.phrase in NOT_WORDS:
        return about | {"kind": "noise", "note": "`harken bench echo` and `train-noise` judge it"}
    return about | _wake(path, folder, progress, quick=quick)


def model_size(model: bytes) -> ModelSize:
    """What a `.tflite` takes on the device.

    Raises:
        ModelFormatError: the engine cannot run it.
    """
    packed = pack(model)
    running = Model(packed)
    return ModelSize(len(model), len(packed), running.state_size, running.stride(), _macs(model))


def _macs(model: bytes) -> int:
    """Multiply-accumulates of all layers with weights."""
    graph = read(model).graphs[0]
    total = 0
    for operator in graph.operators:
        if operator.name not in {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}:
            continue
        weights = math.prod(graph.tensors[operator.inputs[1]].shape)
        out = graph.tensors[operator.outputs[0]].shape
        positions = math.prod(out[1:3]) if operator.name != "FULLY_CONNECTED" else 1
        total += weights * positions
    return total


def _vad(path: Path, folder: Path | None, progress: Progress, *, quick: bool) -> dict[str, Any]:
    found = measure_vad([ModelVad(pack(path.read_bytes()))], progress, quick=quick)[_ENGINE]
    if folder is not None:
        curve = (found.curve["false alarms"], found.curve["hits"])
        axes = ("share of hops without speech that it takes for speech", "share of speech it finds")
        draw_curves(folder / f"{path.stem}-roc", {path.stem: curve}, axes, "Speech or not")
    return {"kind": "vad", "speech": "human, talkers held out of training"} | _plain(found)


def _wake(path: Path, folder: Path | None, progress: Progress, *, quick: bool) -> dict[str, Any]:
    found = measure_wake([read_model(path)], progress, (_ENGINE,), quick=quick)[0]
    curve = found.curve(_ENGINE)
    if folder is not None:
        draw_curves(
            folder / f"{path.stem}-roc",
            {found.model.phrase: (curve["false accepts an hour"], curve["recall"])},
            ("false accepts an hour", "share of phrases heard"),
            f"{found.model.phrase}: natural synthetic voices, human speech and music",
            log_x=True,
        )
    accepts = found.false_accepts(_ENGINE)
    return {
        "kind": "wake word",
        "phrase": found.model.phrase,
        "cutoff": found.model.cutoff,
        "window": found.model.window,
        "voices": "synthetic, held out of training",
        "phrases": len(found.said),
        "recall": {
            "natural voices": found.recall(_ENGINE, natural=True),
            "formant voices": found.recall(_ENGINE, natural=False),
        },
        "recall by surroundings": {
            around: found.recall(_ENGINE, None, around, natural=True) for around in SURROUNDINGS
        },
        "recall by voice": found.recall_by_voice(_ENGINE),
        "false accepts": {"times": accepts, "hours": found.hours, "speech": "human"},
        "curve": curve,
    }


def _plain(found: object) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(found)
    return plain
