"""What a talker says: clips from a voice or from a WAV file, 16 kHz mono."""

from __future__ import annotations

import math
import struct
import subprocess
import sys
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from scipy.io import wavfile  # type: ignore[import-untyped]
from scipy.signal import resample_poly  # type: ignore[import-untyped]

from harken.errors import AudioError, ModelMissingError, StartError, printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATE = 16_000
LONGEST_S = 60
_LOWEST_RATE, _HIGHEST_RATE = 4_000, 384_000
# Sixty seconds of the widest audio anybody records: 192 kHz, stereo, 32 bit.
_LARGEST_FILE = LONGEST_S * 192_000 * 2 * 4
# On damaged headers scipy fails in whatever its arithmetic meets first.
_DAMAGED = (
    ArithmeticError, EOFError, LookupError, MemoryError, TypeError, UnboundLocalError, ValueError,
    struct.error,
)  # fmt: skip
_LONGEST_TEXT = 1_000
_LONGEST_SYNTHESIS_S = 60
_FRAME = 80  # 5 ms: how finely speech is told from silence


@dataclass(frozen=True, slots=True)
class Clip:
    """Something said.

    Attributes:
        samples: int16 [n], 16 kHz.
        text: the words; empty where nobody knows them.
        onset, end: samples[onset:end] is speech, silence around it left out.
    """

    samples: NDArray[np.int16]
    text: str
    onset: int
    end: int

    @classmethod
    def of(cls, samples: NDArray[np.int16], text: str = "") -> Clip:
        """A clip whose speech is found by its energy.

        Raises:
            AudioError: there is nothing to hear in it.
        """
        onset, end = speech_bounds(samples)
        return cls(samples, text, onset, end)

    @property
    def seconds(self) -> float:
        """How long it is, silence included."""
        return len(self.samples) / RATE

    def then(self, other: Clip, pause_s: float) -> Clip:
        """This clip's speech, silence for `pause_s`, and `other`'s speech."""
        pause = np.zeros(round(pause_s * RATE), np.int16)
        lead = self.samples[: self.end]
        samples = np.concatenate([lead, pause, other.samples[other.onset :]])
        end = self.end + len(pause) + other.end - other.onset
        return Clip(samples, f"{self.text} {other.text}".strip(), self.onset, end)


def speech_bounds(samples: NDArray[np.int16]) -> tuple[int, int]:
    """Where speech begins and ends in a clip, by the energy of 5 ms frames.

    The threshold is 6 dB over the clip's own quiet parts, but at least 40 dB and at most 20 dB
    below its loudest frame.

    Args:
        samples: int16 [n], 16 kHz.

    Returns:
        The first speech sample and the one after the last.

    Raises:
        AudioError: there is nothing to hear in it.
    """
    whole = len(samples) // _FRAME * _FRAME
    frames = samples[:whole].astype(np.float64).reshape(-1, _FRAME)
    levels = np.sqrt(np.mean(frames**2, axis=1)) if len(frames) else np.zeros(1)
    loudest = float(levels.max())
    if loudest < 10:
        raise AudioError(
            "there is nothing to hear in this audio", hint="give a recording with speech in it"
        )
    quiet = float(np.quantile(levels, 0.1))
    loud = np.flatnonzero(levels >= np.clip(quiet * 2, loudest / 100, loudest / 10))
    return int(loud[0]) * _FRAME, (int(loud[-1]) + 1) * _FRAME


def load_wav(path: Path, text: str = "") -> Clip:
    """A WAV file of any usual rate, width and number of channels, as a clip.

    Integer PCM of 8 to 32 bit and floats are read; channels are averaged; the rate is converted.

    Args:
        path: the file, at most 60 s long.
        text: what is said in it, where known.

    Raises:
        AudioError: it cannot be used; the message says why.
    """
    name = printable(str(path))
    if not path.exists():
        raise AudioError(f"there is no file {name}", hint="give the path of a WAV file")
    if not path.is_file():
        raise AudioError(f"{name} is not a file", hint="give the path of one WAV file")
    size = path.stat().st_size
    if size == 0:
        raise AudioError(f"{name} is empty", hint="record it again")
    if size > _LARGEST_FILE:
        raise AudioError(f"{name} is too large ({size >> 20} MiB)", hint=_shorten())
    rate, data = _read(path, name)
    if not _LOWEST_RATE <= rate <= _HIGHEST_RATE:
        raise AudioError(
            f"{name} claims {rate} samples a second",
            hint=f"use a rate from {_LOWEST_RATE} to {_HIGHEST_RATE}, 16000 for choice",
        )
    if len(data) > LONGEST_S * rate:
        raise AudioError(f"{name} is {len(data) / rate:.0f} s long", hint=_shorten())
    if len(data) == 0:
        raise AudioError(f"{name} holds no samples", hint="record it again")
    try:
        return Clip.of(_to_16k(_mono(data, name), rate), text)
    except AudioError as error:
        if name in str(error):
            raise
        raise AudioError(f"{name}: nothing can be heard in it", hint=error.hint) from error


def _shorten() -> str:
    return f"cut it to at most {LONGEST_S} s; a question takes a few seconds"


def _read(path: Path, name: str) -> tuple[int, NDArray[Any]]:
    try:
        with warnings.catch_warnings():
            # Chunks other than the audio (cue points, tags) are no reason to warn anybody.
            warnings.simplefilter("ignore", wavfile.WavFileWarning)
            rate, data = cast("tuple[int, NDArray[Any]]", cast("Any", wavfile).read(path))
    except OSError as error:
        raise AudioError(
            f"{name} cannot be read: {error.strerror}", hint="check that you may read it"
        ) from error
    except _DAMAGED as error:
        raise AudioError(
            f"{name} is not a WAV file that can be read ({printable(str(error), 80)})",
            hint="convert it: `ffmpeg -i IN -ar 16000 -ac 1 OUT.wav`",
        ) from error
    return rate, data


def _mono(data: NDArray[Any], name: str) -> NDArray[np.float64]:
    """Any sample format as float64 [n] in -1..1."""
    if np.issubdtype(data.dtype, np.floating):
        scaled = data.astype(np.float64)
        if not np.all(np.isfinite(scaled)):
            raise AudioError(f"{name} holds samples that are no numbers", hint="record it again")
    elif data.dtype == np.uint8:
        scaled = (data.astype(np.float64) - 128) / 128
    else:
        scaled = data.astype(np.float64) / -float(np.iinfo(data.dtype).min)
    return scaled.mean(axis=1) if scaled.ndim == 2 else scaled


def _to_16k(samples: NDArray[np.float64], rate: int) -> NDArray[np.int16]:
    shared = math.gcd(RATE, rate)
    if rate != RATE:
        samples = resample_poly(samples, RATE // shared, rate // shared)
    return np.clip(np.rint(samples * 32_768), -32_768, 32_767).astype(np.int16)


class PiperVoice:
    """A voice of the model store, made to say the same words the same way every time.

    Piper runs as a program of its own.

    Args:
        model: the `.onnx` file; its `.onnx.json` lies beside it.
        pace: 1 is the voice's own, larger is slower.

    Raises:
        ModelMissingError: the file is not there.
    """

    def __init__(self, model: Path, *, pace: float = 1.0) -> None:
        if not model.is_file():
            raise ModelMissingError(
                f"the voice {model.name} is not in the model store", hint="run `harken models pull`"
            )
        self._model = model
        self._pace = pace

    def say(self, *texts: str) -> list[Clip]:
        """Each text as speech.

        Raises:
            AudioError: there is nothing to say in one of them, or it takes too long.
            StartError: Piper cannot be run.
        """
        lines = [" ".join(text.split()) for text in texts]
        for line in lines:
            if not any(character.isalnum() for character in line):
                raise AudioError("there is nothing to say", hint="give a text with words in it")
            if len(line) > _LONGEST_TEXT:
                raise AudioError(f"the text has {len(line)} characters", hint=_shorten())
        with tempfile.TemporaryDirectory(prefix="harken-voice-") as folder:
            self._run(lines, folder)
            # Piper names its files by a clock, so their order is that of the lines.
            files = sorted(Path(folder).glob("*.wav"), key=lambda file: int(file.stem))
            return [load_wav(file, line) for file, line in zip(files, lines, strict=True)]

    def _run(self, lines: list[str], folder: str) -> None:
        # Without its noise the voice is a function of the text alone.
        command = [
            *(sys.executable, "-m", "piper", "--model", str(self._model), "--output-dir", folder),
            *("--noise-scale", "0", "--noise-w-scale", "0", "--length-scale", str(self._pace)),
        ]
        try:
            subprocess.run(
                command,
                input="\n".join(lines),
                capture_output=True,
                text=True,
                timeout=_LONGEST_SYNTHESIS_S,
                check=True,
            )
        except (OSError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", None) or str(error)
            why = printable(str(said).strip().rpartition("\n")[2])
            raise StartError(
                f"the voice cannot speak: {why}", hint="install it: `pip install 'harken[local]'`"
            ) from error
