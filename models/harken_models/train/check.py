"""Whether a model gives the same on our engine as in TensorFlow Lite Micro."""

from __future__ import annotations

import importlib
import subprocess
import sys
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from harken.errors import ModelFormatError
from harken_models.core import Model
from harken_models.train.silenced import silenced

if TYPE_CHECKING:
    from harken_models.train.streaming import Rows

    Answers = np.ndarray[tuple[int, int], np.dtype[np.uint8]]

__all__ = ["arena_size", "check_same", "differing_steps", "reference_answers"]

_ARENA = 1 << 19
_ARENA_STEP = 1 << 10
_TRY_DEADLINE_S = 60.0
_TRY = """
import sys
from tflite_micro.python.tflite_micro import runtime
runtime.Interpreter.from_bytes(sys.stdin.buffer.read(), arena_size=int(sys.argv[1]))
"""


def reference_answers(model: bytes, rows: Rows) -> Answers:
    """What TensorFlow Lite Micro says: uint8 [strides, outputs].

    Args:
        model: a streaming `.tflite` with int8 input [1, stride, 40].
        rows: int8 [n, 40], from the stream's beginning.
    """
    runtime = _runtime()
    interpreter = runtime.Interpreter.from_bytes(model, arena_size=_ARENA)
    stride = int(interpreter.get_input_details(0)["shape"][1])
    answers: list[Any] = []
    for start in range(0, len(rows) - stride + 1, stride):
        interpreter.set_input(rows[None, start : start + stride], 0)
        interpreter.invoke()
        answers.append(np.array(interpreter.get_output(0)[0], np.uint8))
    return np.array(answers, np.uint8)


def differing_steps(model: bytes, packed: bytes, rows: Rows) -> int:
    """Steps in which our engine's answer to `rows` is not that of TensorFlow Lite Micro."""
    theirs = reference_answers(model, rows)
    ours = Model(packed).run_outputs(rows)
    if ours.shape != theirs.shape:
        return max(len(ours), len(theirs))
    return int(np.count_nonzero(np.any(ours != theirs, axis=1)))


def check_same(model: bytes, packed: bytes, rows: Rows) -> int:
    """Make sure that no step differs; returns how many were compared.

    Raises:
        ModelFormatError: some do.
    """
    differing = differing_steps(model, packed, rows)
    steps = len(rows) // Model(packed).stride()
    if differing:
        raise ModelFormatError(
            f"{differing} of {steps} steps differ from TensorFlow Lite Micro",
            hint="report it with the .tflite file: the engine or the packing is wrong",
        )
    return steps


def arena_size(model: bytes) -> int:
    """The arena that TensorFlow Lite Micro needs for a model, in bytes, as a manifest states it.

    Found by trying, on this machine; pointers are half as long on a microcontroller, so there it is
    less. Each try is a process of its own: given too little, TensorFlow Lite Micro mostly says so,
    but with some sizes it crashes.
    """
    with silenced():
        _runtime().Interpreter.from_bytes(model, arena_size=_ARENA)
    fits, short = _ARENA, 0
    while fits - short > _ARENA_STEP:
        middle = (fits + short) // 2 // _ARENA_STEP * _ARENA_STEP
        tried = subprocess.run(
            [sys.executable, "-c", _TRY, str(middle)],
            input=model, capture_output=True, timeout=_TRY_DEADLINE_S, check=False,
        )  # fmt: skip
        if tried.returncode == 0:
            fits = middle
        else:
            short = middle
    return fits


def _runtime() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("tflite_micro.python.tflite_micro.runtime")
