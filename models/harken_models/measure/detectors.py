"""Voice activity detectors beside each other: ours as the device runs it, Silero's, WebRTC's."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from harken.audio.vad import WINDOW, SileroVad
from harken.errors import StartError
from harken_models import store
from harken_models.core import HOP, Cleaner, Features, Model, Vad

if TYPE_CHECKING:
    Samples = np.ndarray[tuple[int], np.dtype[np.int16]]
    Octets = np.ndarray[tuple[int], np.dtype[np.uint8]]
    Floats = np.ndarray[tuple[int], np.dtype[np.float64]]
    Flags = np.ndarray[tuple[int], np.dtype[np.bool_]]

__all__ = ["Detector", "EnergyVad", "Heard", "ModelVad", "SileroDetector", "WebRtcVad"]

_RATE: Final = 16_000
_WEBRTC_MODES: Final = (3, 2, 1, 0)
_WEBRTC_MODE: Final = 2
_SILERO_THRESHOLD: Final = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """What a detector said of every 10 ms.

    Attributes:
        scores: float [n // 160], higher is likelier speech.
        speech: bool [n // 160], what it decided with what it knew at the end of the hop.
    """

    scores: Floats
    speech: Flags


class Detector(Protocol):
    """Tells speech from everything else.

    Attributes:
        name: what figures call it.
    """

    name: str

    def run(self, samples: Samples) -> Heard:
        """A whole stream, from a fresh start: int16 [n], 16 kHz."""
        ...


class EnergyVad:
    """Ours where no model is: energy over a tracked floor."""

    name = "harken, energy"

    def run(self, samples: Samples) -> Heard:
        """See `Detector.run`."""
        vad = Vad()
        hops = _hops(samples)
        scores, speech = np.zeros(len(hops)), np.zeros(len(hops), np.bool_)
        for at, hop in enumerate(hops):
            speech[at] = vad.step(hop, -1) & Vad.SPEECH
            scores[at] = vad.level_db() - vad.floor_db()
        return Heard(scores, speech)


class ModelVad:
    """Ours: cleaner, features, the int8 model and what decides with it, all as on the device.

    Args:
        model: packed.
        name: what figures call it.
        cleaned: take the cleaner's output instead of its canceller's.
    """

    def __init__(self, model: bytes, name: str = "harken", *, cleaned: bool = False) -> None:
        self.name = name
        self._model = model
        self._cleaned = cleaned

    def run(self, samples: Samples) -> Heard:
        """See `Detector.run`."""
        out, linear = Cleaner().run(samples, None)
        sound = out if self._cleaned else linear
        probabilities = self.probabilities(sound)
        vad = Vad()
        speech = np.array(
            [
                vad.step(hop, int(probability)) & Vad.SPEECH
                for hop, probability in zip(_hops(sound), probabilities, strict=True)
            ],
            np.bool_,
        )
        return Heard(probabilities.astype(np.float64), speech)

    def probabilities(self, sound: Samples) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
        """What the model said last by the end of each hop, 0..255; -1 while it has said nothing."""
        hops = len(sound) // HOP
        rows = Features().run(sound)
        model = Model(self._model)
        stride = model.stride()
        said: Octets = model.run(rows)
        # The first window takes some hops to fill; a model speaks once a stride of rows is there.
        ends = (hops - len(rows)) + stride * np.arange(1, len(said) + 1) - 1
        every = np.full(hops, -1, np.int16)
        every[ends] = said
        last = np.maximum.accumulate(np.where(every >= 0, np.arange(hops), -1))
        return np.where(last >= 0, every[last], -1).astype(np.int16)


class SileroDetector:
    """Silero's model as the gateway runs it: a probability every 32 ms.

    Raises:
        ModelError: it is not in the model store.
    """

    name = "Silero"

    def __init__(self) -> None:
        self._path = store.weights("silero-vad")

    def run(self, samples: Samples) -> Heard:
        """What it had said last by the end of each hop."""
        said = np.array(self.feed(samples))
        frames = (np.arange(1, len(samples) // HOP + 1) * HOP) // WINDOW - 1
        scores = np.where(frames >= 0, said[np.clip(frames, 0, len(said) - 1)], 0.0)
        return Heard(scores, scores >= _SILERO_THRESHOLD)

    def feed(self, samples: Samples) -> list[float]:
        """Its probabilities, from a fresh start."""
        return SileroVad(self._path).feed(samples.tobytes())


class WebRtcVad:
    """WebRTC's Gaussian mixtures, as `webrtcvad` ships them.

    It only ever says yes or no. Its score is how many of its four modes say yes; it decides as mode
    2 does.

    Raises:
        StartError: `webrtcvad` is not installed.
    """

    name = "WebRTC VAD"

    def __init__(self) -> None:
        try:
            self._module: Any = importlib.import_module("webrtcvad")
        except ImportError as error:
            raise StartError(
                "webrtcvad is not installed: there is no WebRTC VAD to compare with",
                hint="`pip install --group measure` in the checkout installs what measuring needs",
            ) from error

    def run(self, samples: Samples) -> Heard:
        """See `Detector.run`."""
        answers = {mode: self.decide(samples, mode) for mode in _WEBRTC_MODES}
        scores = np.sum(list(answers.values()), axis=0).astype(np.float64)
        return Heard(scores, answers[_WEBRTC_MODE])

    def decide(self, samples: Samples, mode: int = _WEBRTC_MODE) -> Flags:
        """What one mode (0 to 3, ever harder to please) says of every hop."""
        vad = self._module.Vad(mode)
        return np.array([vad.is_speech(hop, _RATE) for hop in _hops(samples)], np.bool_)


def _hops(samples: Samples) -> list[bytes]:
    data = samples.tobytes()
    return [data[at : at + 2 * HOP] for at in range(0, len(data) - 2 * HOP + 1, 2 * HOP)]
