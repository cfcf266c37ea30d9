"""Sound, models and references that the audio core is held against."""

from __future__ import annotations

import shutil
import subprocess
import warnings
import wave
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from harken_models.pack import pack

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Samples = np.ndarray[tuple[int], np.dtype[np.int16]]
    OctetRows = np.ndarray[tuple[int, int], np.dtype[np.uint8]]
    Rows = np.ndarray[tuple[int, int], np.dtype[np.int8]]

ROOT = Path(__file__).resolve().parents[3]
CLIP = ROOT / "tests" / "data" / "native_core" / "wake_words_16k.wav"
RECORDINGS = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
RATE = 16000
MODELS = ("alexa", "hey_jarvis", "hey_mycroft", "okay_nabu")
DEADLINE_S = 50


@pytest.fixture
def packed_alexa(tflite_models: Mapping[str, bytes], tmp_path: Path) -> Path:
    """A wake word as the device loads it."""
    path = tmp_path / "alexa.hkm"
    path.write_bytes(pack(tflite_models["alexa"]))
    return path


@pytest.fixture(scope="session")
def clip() -> Samples:
    """The four wake words, in the order of `alexa`, `okay_nabu`, `hey_jarvis`, `hey_mycroft`."""
    with wave.open(str(CLIP)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


@pytest.fixture(scope="session")
def recording() -> Samples:
    """More than a minute of a human voice, 16 kHz."""
    files = sorted(RECORDINGS.rglob("*.g722"))
    if not files or shutil.which("ffmpeg") is None:
        pytest.skip("no recordings: apt-get install asterisk-core-sounds-en-g722 ffmpeg")
    parts: list[Samples] = []
    # Every seventh prompt, so that short and long ones, calm and lively ones come along.
    for path in files[::7]:
        done = subprocess.run(
            ["ffmpeg", "-v", "error", "-f", "g722", "-i", str(path), "-f", "s16le", "-"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=DEADLINE_S,
            check=True,
        )
        parts.append(np.frombuffer(done.stdout, np.int16))
        if sum(part.size for part in parts) > 75 * RATE:
            break
    return np.concatenate(parts)


@pytest.fixture(scope="session")
def tflite_models() -> Mapping[str, bytes]:
    """The published models, by name."""
    found = find_spec("pymicro_wakeword")
    if found is None or found.origin is None:
        pytest.skip("no published models here: run `make setup` (package pymicro-wakeword)")
    folder = Path(found.origin).parent / "models"
    return {name: (folder / f"{name}.tflite").read_bytes() for name in MODELS}


class TensorFlowLiteMicro:
    """The reference interpreter, which keeps its state from step to step."""

    def __init__(self, model: bytes) -> None:
        runtime = _runtime()
        self._interpreter = runtime.Interpreter.from_bytes(model, arena_size=200_000)

    def run(self, rows: Rows) -> list[int]:
        """The probability after each three rows."""
        return [int(first) for first in self.outputs(rows)[:, 0]]

    def outputs(self, rows: Rows) -> OctetRows:
        """All answers after each three rows, [n // 3, outputs]."""
        answers: list[Any] = []
        for start in range(0, len(rows) - 2, 3):
            self._interpreter.set_input(rows[start : start + 3][None], 0)
            self._interpreter.invoke()
            answers.append(self._interpreter.get_output(0)[0].copy())
        return np.array(answers)


def _runtime() -> Any:
    if find_spec("tflite_micro") is None:
        pytest.skip("no reference interpreter here: run `make setup` (package tflite-micro)")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return import_module("tflite_micro.python.tflite_micro.runtime")


@pytest.fixture
def reference() -> Callable[[bytes], TensorFlowLiteMicro]:
    """Loads a model into TensorFlow Lite Micro."""
    _runtime()
    return TensorFlowLiteMicro
