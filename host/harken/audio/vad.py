"""Voice activity: Silero's model gives probabilities, the endpointer makes turns out of them."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from harken.errors import ModelFormatError, ModelMissingError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from harken.audio.pcm import Pcm

__all__ = ["RATE", "WINDOW", "WINDOW_MS", "Endpointer", "SileroVad", "VoiceEvent"]

RATE: Final = 16_000
WINDOW: Final = 512
"""Samples that the model judges at once."""
WINDOW_MS: Final = WINDOW * 1000 // RATE
_CONTEXT: Final = 64
"""Samples of the window before that the model wants to see again."""


@lru_cache(maxsize=4)
def _session(path: str) -> Any:
    # It ships no types.
    onnxruntime: Any = importlib.import_module("onnxruntime")

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelFormatError(
            f"{path} is not an ONNX model that onnxruntime can run",
            hint="harken models verify silero-vad",
        ) from error
    wanted, found = {"input", "state", "sr"}, {put.name for put in session.get_inputs()}
    if found != wanted:
        raise ModelFormatError(
            f"{path} is not a Silero voice activity model: inputs {sorted(found)}",
            hint="harken models pull silero-vad",
        )
    return session


class SileroVad:
    """How likely each 32 ms of a stream is speech, by Silero's recurrent model (version 5 or 6).

    Streams share the loaded model; each has its own state.

    Args:
        path: the ONNX file, from the model store as `silero-vad`.

    Raises:
        ModelMissingError: there is no such file.
        ModelFormatError: it is not this model.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise ModelMissingError(
                f"the voice activity model {path} is missing", hint="harken models pull silero-vad"
            )
        self._model = _session(str(path))
        self._rate = np.array(RATE, np.int64)
        self._input = np.zeros((1, _CONTEXT + WINDOW), np.float32)
        self.reset()

    def reset(self) -> None:
        """Forget everything heard."""
        self._state = np.zeros((2, 1, 128), np.float32)
        self._input.fill(0)
        self._pending = b""

    def feed(self, pcm: Pcm) -> list[float]:
        """Take audio of any length.

        Args:
            pcm: int16 native endian mono, 16 kHz.

        Returns:
            A probability, 0 to 1, for each window of 512 samples that is now complete.
        """
        data = self._pending + bytes(pcm)
        whole = len(data) // (2 * WINDOW)
        self._pending = data[2 * WINDOW * whole :]
        samples = np.frombuffer(data, np.int16, whole * WINDOW).astype(np.float32)
        samples /= np.float32(32_768)
        return [self._judge(window) for window in samples.reshape(whole, WINDOW)]

    def _judge(self, window: NDArray[np.float32]) -> float:
        self._input[0, :_CONTEXT] = self._input[0, -_CONTEXT:]
        self._input[0, _CONTEXT:] = window
        probability, self._state = self._model.run(
            None, {"input": self._input, "state": self._state, "sr": self._rate}
        )
        return float(probability[0, 0])


@dataclass(frozen=True, slots=True)
class VoiceEvent:
    """A turn began or ended.

    Attributes:
        kind: "start" or "end".
        ms_ago: how long before the end of the last window that really was: the first window of
            speech began, or the last one ended.
    """

    kind: Literal["start", "end"]
    ms_ago: int


class Endpointer:
    """Speech probabilities into starts and ends of turns, with hysteresis. Knows no clock.

    A turn starts once `min_speech_ms` of speech came with no pause of that length in it, and ends
    after `silence_ms` without speech.

    Args:
        threshold: a window at or above it is speech.
        release: inside a turn, a window at or above it still is.
        min_speech_ms: shorter bursts are noise.
        silence_ms: the pause that ends a turn.
        window_ms: what each probability covers.
    """

    def __init__(
        self,
        *,
        threshold: float = 0.5,
        release: float = 0.35,
        min_speech_ms: int = 96,
        silence_ms: int = 500,
        window_ms: int = WINDOW_MS,
    ) -> None:
        self._threshold = threshold
        self._release = min(release, threshold)
        self._min_speech_ms = max(min_speech_ms, window_ms)
        self._silence_ms = silence_ms
        self._window_ms = window_ms
        self.reset()

    def reset(self) -> None:
        """As before the first window."""
        self.speaking = False
        self._speech_ms = 0  # since the burst began, its pauses not counted
        self._burst_ms = 0  # since the burst began
        self._pause_ms = 0  # since the last window of speech

    def push(self, probability: float) -> VoiceEvent | None:
        """Take the next window; returns what it started or ended, if anything."""
        return self._inside(probability) if self.speaking else self._outside(probability)

    def _outside(self, probability: float) -> VoiceEvent | None:
        if self._burst_ms:
            self._burst_ms += self._window_ms
        if probability >= self._threshold:
            self._burst_ms = self._burst_ms or self._window_ms
            self._speech_ms += self._window_ms
            self._pause_ms = 0
            if self._speech_ms >= self._min_speech_ms:
                self.speaking = True
                return VoiceEvent("start", self._burst_ms)
        elif self._burst_ms:
            self._pause_ms += self._window_ms
            if self._pause_ms >= self._min_speech_ms:
                self.reset()
        return None

    def _inside(self, probability: float) -> VoiceEvent | None:
        if probability >= self._release:
            self._pause_ms = 0
            return None
        self._pause_ms += self._window_ms
        if self._pause_ms < self._silence_ms:
            return None
        pause = self._pause_ms
        self.reset()
        return VoiceEvent("end", pause)
