"""Wake word models with their manifests, run on our engine and by pymicro-wakeword."""

from __future__ import annotations

import importlib
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from harken.errors import ModelFormatError, ModelMissingError, StartError
from harken_models import store
from harken_models.core import Features, Model
from harken_models.measure.ours import SHIPPED
from harken_models.pack import pack

if TYPE_CHECKING:
    from pathlib import Path

    Samples = np.ndarray[tuple[int], np.dtype[np.int16]]
    Octets = np.ndarray[tuple[int], np.dtype[np.uint8]]
    Means = np.ndarray[tuple[int], np.dtype[np.float64]]

__all__ = [
    "NOT_WORDS",
    "PUBLISHED",
    "WakeModel",
    "detections",
    "means_of_newest",
    "published",
    "read_model",
    "shipped",
]

PUBLISHED: Final = ("alexa", "hey_jarvis", "hey_mycroft", "okay_nabu")
"""The microWakeWord models in the model store, as their files are called."""

NOT_WORDS: Final = ("vad", "noise")
"""What the manifests of shipped models that are no wake words give as their phrase."""
_REFRACTORY_ROWS: Final = 100
"""A device is deaf so long after a detection."""


class _Micro(msgspec.Struct):
    probability_cutoff: float
    sliding_window_size: int


class _Manifest(msgspec.Struct):
    wake_word: str
    micro: _Micro


@dataclass(frozen=True, slots=True)
class WakeModel:
    """A model and how it is to be used.

    Attributes:
        name: of its file.
        phrase: what is said.
        path: its `.tflite`; its manifest lies beside it.
        cutoff: mean probability over which the phrase was said, 0..1.
        window: how many probabilities the mean is of.
    """

    name: str
    phrase: str
    path: Path
    cutoff: float
    window: int

    def means(self, probabilities: Octets) -> Means:
        """Of the newest `window` probabilities: see `means_of_newest`."""
        return means_of_newest(probabilities, self.window)


def means_of_newest(probabilities: Octets, window: int) -> Means:
    """Of the newest `window` probabilities, 0..1; nothing counts before the beginning."""
    total = np.cumsum(np.concatenate([np.zeros(window), probabilities.astype(np.float64)]))
    means: Means = (total[window:] - total[:-window]) / (window * 255)
    return means


def read_model(path: Path) -> WakeModel:
    """A `.tflite` with its ESPHome manifest beside it.

    Raises:
        ModelMissingError: one of the two is not there.
        ModelFormatError: the manifest is not one of a wake word.
    """
    manifest = path.with_suffix(".json")
    for file in (path, manifest):
        if not file.is_file():
            raise ModelMissingError(
                f"{file} is not there", hint="give a .tflite that has its manifest beside it"
            )
    try:
        found = msgspec.json.decode(manifest.read_bytes(), type=_Manifest)
    except msgspec.DecodeError as error:
        raise ModelFormatError(f"{manifest} is no manifest of a wake word: {error}") from error
    micro = found.micro
    return WakeModel(
        path.stem, found.wake_word, path, micro.probability_cutoff, micro.sliding_window_size
    )


def published() -> list[WakeModel]:
    """The microWakeWord models of the model store.

    Raises:
        ModelMissingError: one is not in the store; the hint says what brings it.
    """
    return [read_model(store.weights(name.replace("_", "-"))) for name in PUBLISHED]


def shipped() -> list[WakeModel]:
    """The wake words that Harken ships."""
    found = (read_model(path) for path in sorted(SHIPPED.glob("*.tflite")))
    return [model for model in found if model.phrase not in NOT_WORDS]


@lru_cache(maxsize=32)
def _packed(path: Path) -> bytes:
    return pack(path.read_bytes())


def ours(model: WakeModel, samples: Samples) -> Octets:
    """What our engine says: uint8 [m], a probability each stride, from a fresh start."""
    return Model(_packed(model.path)).run(Features().run(samples))


def pymicro(model: WakeModel, samples: Samples) -> Octets:
    """What pymicro-wakeword says, with its own front end and its own TensorFlow Lite.

    Raises:
        StartError: it is not installed.
    """
    package, word = _pymicro_word(model.path)
    word.reset()
    said: list[float] = []
    window = word._probabilities  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    for count, row in enumerate(
        package.MicroWakeWordFeatures().process_streaming(samples.tobytes())
    ):
        word.process_streaming_prob(row)
        if count % word.stride == word.stride - 1:
            said.append(window[-1])
    octets: Octets = np.rint(np.array(said) * 256).clip(0, 255).astype(np.uint8)
    return octets


@lru_cache(maxsize=32)
def _pymicro_word(path: Path) -> tuple[Any, Any]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            package: Any = importlib.import_module("pymicro_wakeword")
    except ImportError as error:
        raise StartError(
            f"{error.name} is not installed: there is no other engine to compare with",
            hint="`make setup` installs it",
        ) from error
    return package, package.MicroWakeWord.from_config(path.with_suffix(".json"))


def detections(means: Means, cutoff: float, stride: int = 3) -> int:
    """How often a phrase is heard in a stream at a cut-off.

    Args:
        means: [m], of `WakeModel.means`.
        cutoff: 0..1.
        stride: rows of a step, by which the second of deafness is counted.
    """
    count, deaf_until = 0, 0
    for step in np.flatnonzero(means > cutoff):
        if step >= deaf_until:
            count += 1
            deaf_until = int(step) + -(-_REFRACTORY_ROWS // stride)
    return count
