"""`harken bench wake`: the int8 engine beside TensorFlow Lite, on the published models.

Each side takes the features of one stream as its users hand them over, three rows a step: ours as
int8 rows, pymicro-wakeword as the floats of its own front end, TensorFlow Lite Micro (the
reference that ours must equal in every step) as int8. What a step costs inside the C alone, without
the Python around it, is measured as well.
"""

from __future__ import annotations

import importlib
import shutil
import subprocess
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from harken.errors import RigError
from harken_hil.bench.measure import (
    MIN_ROUNDS,
    BenchOptions,
    BenchResult,
    Figure,
    Goal,
    Setting,
    figure,
    interleave,
)
from harken_models.core import Features, Model
from harken_models.pack import FEATURE_SCALE, FEATURE_ZERO_POINT, pack

if TYPE_CHECKING:
    from collections.abc import Callable

    Rows = np.ndarray[tuple[int, int], np.dtype[np.int8]]
    Samples = np.ndarray[tuple[int], np.dtype[np.int16]]

__all__ = ["ROUNDS", "SETTINGS", "run"]

ROUNDS: Final = MIN_ROUNDS
SETTINGS: Final[dict[str, Setting]] = {}

_MODELS: Final = ("alexa", "hey_jarvis", "hey_mycroft", "okay_nabu")
_RATE: Final = 16_000
_SECONDS: Final = 75
_TIMED_STEPS: Final = 1_000
_STRIDE: Final = 3
_ARENA: Final = 200_000
_DECODE_S: Final = 20.0
_RECORDINGS: Final = Path("/usr/share/asterisk/sounds/en_US_f_Allison")


def run(options: BenchOptions) -> BenchResult:
    """CPU time per 30 ms step, and the steps that differ from TensorFlow Lite Micro.

    Raises:
        RigError: a rival is not installed.
    """
    sides = _Sides()
    stream, pcm = _stream()
    rows = Features().run(pcm)
    lines: list[Figure] = []
    for name in _MODELS:
        lines += _model_lines(name, sides, rows, options.rounds, stream)
    return BenchResult("wake", tuple(lines))


class _Sides:
    """The rivals' packages.

    Raises:
        RigError: one is not installed.
    """

    def __init__(self) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.wakeword: Any = importlib.import_module("pymicro_wakeword")
                self.micro: Any = importlib.import_module(
                    "tflite_micro.python.tflite_micro.runtime"
                )
        except ImportError as error:
            raise RigError(
                f"the rival {error.name} is not installed", hint="`make setup` installs it"
            ) from error

    def model(self, name: str) -> bytes:
        """A published `.tflite`."""
        return (Path(self.wakeword.__file__).parent / "models" / f"{name}.tflite").read_bytes()


def _model_lines(
    name: str, sides: _Sides, rows: Rows, rounds: int, stream: str
) -> tuple[Figure, Figure, Figure]:
    model = sides.model(name)
    wake = Model(pack(model))
    rival: Any = sides.wakeword.MicroWakeWord.from_builtin(sides.wakeword.Model(name))
    reference: Any = sides.micro.Interpreter.from_bytes(model, arena_size=_ARENA)
    detail = {"stream": stream, "seconds": round(len(rows) / 100)}
    timed = rows[: _STRIDE * _TIMED_STEPS]
    try:
        step = figure(
            f"{name}: a 30 ms step",
            "us CPU",
            interleave(
                ours=_ours(wake, timed),
                rival=_pymicro(rival, timed),
                floor=_tflm(reference, timed),
                rounds=rounds,
            ),
            Goal("ratio", "<=", 1.0),
            rival_name="pymicro-wakeword",
            floor_name="TensorFlow Lite Micro",
            detail={**detail, "state_bytes": wake.state_size},
        )
        inside = figure(
            f"{name}: a 30 ms step, inside the C",
            "us CPU",
            interleave(
                ours=_timed(lambda: wake.run(timed), len(timed) // _STRIDE),
                rival=_invoke(rival),
                rounds=rounds,
            ),
            Goal("ratio", "<=", 1.0),
            rival_name="TfLiteInterpreterInvoke of pymicro-wakeword's TensorFlow Lite",
            detail=detail,
        )
    finally:
        rival.close()
    return step, inside, _differing(name, sides, model, rows, detail)


def _differing(
    name: str, sides: _Sides, model: bytes, rows: Rows, detail: dict[str, Any]
) -> Figure:
    """How many steps of the whole stream differ from the reference."""
    # The stream of no voice, at the end, drives every layer to its bounds.
    rng = np.random.default_rng(5)
    noise = rng.integers(-128, 128, (3_000, rows.shape[1])).astype(np.int8)
    every = np.concatenate([rows[: len(rows) // _STRIDE * _STRIDE], noise])
    ours = Model(pack(model)).run(every)
    reference: Any = sides.micro.Interpreter.from_bytes(model, arena_size=_ARENA)
    theirs = [_tflm_step(reference, every, at) for at in range(0, len(every), _STRIDE)]
    differing = int(np.count_nonzero(ours != np.array(theirs)))
    goal = Goal("figure", "==", 0)
    return Figure(
        name=f"{name}: steps that differ from TensorFlow Lite Micro",
        unit=f"of {len(theirs)} steps",
        figure=differing,
        rival=None,
        floor=None,
        ratio=None,
        goal=str(goal),
        met=goal.met(differing),
        detail={**detail, "highest_probability": int(ours.max()) / 256},
    )


def _timed(work: Callable[[], object], steps: int) -> Callable[[], float]:
    def once() -> float:
        start = time.process_time()
        work()
        return (time.process_time() - start) / steps * 1e6

    return once


def _ours(wake: Model, rows: Rows) -> Callable[[], float]:
    packets = [row.tobytes() for row in rows]

    def work() -> None:
        for row in packets:
            wake.step(row)

    return _timed(work, len(rows) // _STRIDE)


def _pymicro(rival: Any, rows: Rows) -> Callable[[], float]:
    features = (rows.astype(np.float64) - FEATURE_ZERO_POINT) * FEATURE_SCALE
    packets = [row.reshape(1, 1, -1) for row in features]

    def work() -> None:
        for row in packets:
            rival.process_streaming_prob(row)

    return _timed(work, len(rows) // _STRIDE)


def _tflm(reference: Any, rows: Rows) -> Callable[[], float]:
    def work() -> None:
        for at in range(0, len(rows), _STRIDE):
            _tflm_step(reference, rows, at)

    return _timed(work, len(rows) // _STRIDE)


def _tflm_step(reference: Any, rows: Rows, at: int) -> int:
    reference.set_input(rows[at : at + _STRIDE][None], 0)
    reference.invoke()
    return int(reference.get_output(0)[0, 0])


def _invoke(rival: Any) -> Callable[[], float]:
    library, interpreter = rival.lib, rival.interpreter

    def work() -> None:
        for _ in range(_TIMED_STEPS):
            library.TfLiteInterpreterInvoke(interpreter)

    return _timed(work, _TIMED_STEPS)


def _stream() -> tuple[str, Samples]:
    """What is listened to, and its name: a human voice where Debian's recordings are installed."""
    wanted = _SECONDS * _RATE
    files = sorted(_RECORDINGS.rglob("*.g722"))
    if not files or shutil.which("ffmpeg") is None:
        return "synthetic voice", _synthetic_voice(wanted)
    parts: list[Samples] = []
    for path in files[::7]:
        if sum(part.size for part in parts) >= wanted:
            break
        done = subprocess.run(
            ["ffmpeg", "-v", "error", "-f", "g722", "-i", str(path), "-f", "s16le", "-"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_DECODE_S,
            check=True,
        )
        parts.append(np.frombuffer(done.stdout, np.int16))
    return "asterisk-core-sounds-en", np.concatenate(parts)[:wanted]


def _synthetic_voice(count: int) -> Samples:
    """A gliding harmonic voice with syllables, in light noise."""
    rng = np.random.default_rng(7)
    at = np.arange(count) / _RATE
    pitch = 2 * np.pi * np.cumsum(130 + 40 * np.sin(2 * np.pi * 0.7 * at)) / _RATE
    formant = 900 + 600 * np.sin(2 * np.pi * 1.3 * at)
    tones = np.zeros(count)
    for harmonic in range(1, 30):
        tones += np.exp(-(((harmonic * 130 - formant) / 500) ** 2)) * np.sin(harmonic * pitch)
    loudness = np.abs(np.sin(2 * np.pi * 2.1 * at)) * (np.sin(2 * np.pi * 0.11 * at) > -0.5)
    sound: Samples = (4_000 * tones * loudness + 60 * rng.standard_normal(count)).astype(np.int16)
    return sound
