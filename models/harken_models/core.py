"""The device's audio core, in CPython: the shared library built from `firmware/native/core`.

The classes have the calls of MicroPython's module `harken_core`
(`docs/reference/native-modules.md`) and run the same C, so that what is measured here is what a
board computes, bit for bit. `run` is theirs alone: many steps in one call.
"""

from __future__ import annotations

import ctypes
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harken.errors import StartError

if TYPE_CHECKING:
    from typing import Any

    from _typeshed import ReadableBuffer, WriteableBuffer

    Octets = np.ndarray[tuple[int], np.dtype[np.uint8]]
    Rows = np.ndarray[tuple[int, int], np.dtype[np.int8]]
    Samples = np.ndarray[tuple[int], np.dtype[np.int16]]

__all__ = ["FEATURES", "HOP", "Features", "Vad", "Wake", "mask"]

HOP = 160
"""Samples of one step, 10 ms at 16 kHz."""
FEATURES = 40

_HOP_BYTES = 2 * HOP
_MODEL_ERRORS = {
    1: "the model must start at an address that 4 divides",
    2: "this is no packed model of a known version, or it is cut off",
    3: "the packed model is damaged: its checksum is wrong",
    4: "the packed model has a state that does not fit",
    5: "the packed model has an operation that does not fit",
}


def _load() -> ctypes.CDLL:
    name = f"libharken_core-{platform.machine()}.so"
    path = Path(__file__).with_name("native") / name
    if not sys.platform.startswith("linux") or not path.exists():
        raise StartError(
            f"there is no audio core for this machine: {name} is missing",
            hint="`make native` builds it on x86-64 Linux",
        )
    library = ctypes.CDLL(str(path))
    pointer, size, number = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint32
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "features_size": (number, []),
        "features_reset": (None, [pointer]),
        "features_step": (ctypes.c_int, [pointer, pointer, pointer]),
        "features_run": (number, [pointer, pointer, number, pointer]),
        "model_check": (ctypes.c_int, [pointer, size]),
        "wake_size": (number, [pointer]),
        "wake_reset": (None, [pointer, pointer]),
        "wake_stride": (number, [pointer]),
        "wake_step": (ctypes.c_int, [pointer, pointer]),
        "wake_run": (number, [pointer, pointer, number, pointer]),
        "vad_size": (number, []),
        "vad_init": (None, [pointer]),
        "vad_reset": (None, [pointer]),
        "vad_tune": (ctypes.c_int, [pointer, ctypes.c_int, ctypes.c_int]),
        "vad_step": (ctypes.c_int, [pointer, pointer]),
        "vad_level_db": (ctypes.c_int, [pointer]),
        "vad_floor_db": (ctypes.c_int, [pointer]),
        "mask": (None, [pointer, size, pointer]),
    }
    for call, (result, arguments) in signatures.items():
        # By attribute: each `library[name]` would be a new function without these types.
        function = getattr(library, f"harken_{call}")
        function.restype, function.argtypes = result, arguments
    return library


_library = _load()
_features_step = _library.harken_features_step
_wake_step = _library.harken_wake_step
_vad_step = _library.harken_vad_step


def _readable(buffer: ReadableBuffer, size: int, what: str) -> Any:
    """`size` bytes at the start of `buffer`, for a call that only reads them."""
    if not isinstance(buffer, bytes):
        view = memoryview(buffer)
        if not view.readonly:
            return _writable(view, size, what)
        buffer = bytes(view)
    if len(buffer) < size:
        raise ValueError(f"{what} needs {size} bytes, not {len(buffer)}")
    return buffer


def _writable(buffer: WriteableBuffer, size: int, what: str) -> Any:
    try:
        return (ctypes.c_char * size).from_buffer(buffer)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{what} needs {size} writable bytes in one piece ({error})") from error


class Features:
    """The TensorFlow Lite Micro audio front end: 16 kHz, 30 ms window, 10 ms step, 40 channels."""

    def __init__(self) -> None:
        self._state = ctypes.create_string_buffer(_library.harken_features_size())
        self.reset()

    def step(self, pcm: ReadableBuffer, row: WriteableBuffer) -> int:
        """Take one hop.

        Args:
            pcm: int16 [160], 16 kHz mono.
            row: room for int8 [40].

        Returns:
            1 where `row` was written, 0 while the window fills.

        Raises:
            ValueError: a buffer is too short, or `row` is read-only.
        """
        return int(
            _features_step(
                self._state,
                _readable(pcm, _HOP_BYTES, "pcm"),
                _writable(row, FEATURES, "row"),
            )
        )

    def run(self, pcm: Samples) -> Rows:
        """All whole hops of int16 [n]: the rows that `step` would have written, int8 [m, 40]."""
        samples = np.ascontiguousarray(pcm, np.int16)
        hops = samples.size // HOP
        rows = np.empty((hops, FEATURES), np.int8)
        written = _library.harken_features_run(
            self._state, samples.ctypes.data, hops, rows.ctypes.data
        )
        return rows[:written]

    def reset(self) -> None:
        """Make it as new."""
        _library.harken_features_reset(self._state)


class Wake:
    """An int8 streaming model on the engine.

    Args:
        model: a packed model (`harken_models.pack`), kept as it is and referred to in place.

    Raises:
        ValueError: it is not one, is damaged, or does not fit the engine.
    """

    def __init__(self, model: bytes) -> None:
        self._model = bytes(model)
        error = _library.harken_model_check(self._model, len(self._model))
        if error:
            raise ValueError(_MODEL_ERRORS[error])
        self._state = ctypes.create_string_buffer(_library.harken_wake_size(self._model))
        self.reset()

    @property
    def state_size(self) -> int:
        """Bytes of state, all of them allocated at construction."""
        return len(self._state)

    def step(self, row: ReadableBuffer) -> int:
        """Take int8 [40]; -1 until a stride of rows is together, else the probability 0..255.

        Raises:
            ValueError: `row` is too short.
        """
        return int(_wake_step(self._state, _readable(row, FEATURES, "row")))

    def run(self, rows: Rows) -> Octets:
        """The probabilities that `step` would have given for int8 [n, 40]: uint8 [n // stride]."""
        block = np.ascontiguousarray(rows, np.int8).reshape(-1, FEATURES)
        probabilities = np.empty(len(block), np.uint8)
        written = _library.harken_wake_run(
            self._state, block.ctypes.data, len(block), probabilities.ctypes.data
        )
        return probabilities[:written]

    def reset(self) -> None:
        """Make it as new."""
        _library.harken_wake_reset(self._state, self._model)

    def stride(self) -> int:
        """Rows in a stride."""
        return int(_library.harken_wake_stride(self._state))


class Vad:
    """Energy over a tracked noise floor, with hang-over (`firmware/native/core/vad.h`)."""

    SPEECH = 1
    UTTERANCE = 2

    def __init__(self) -> None:
        self._state = ctypes.create_string_buffer(_library.harken_vad_size())
        _library.harken_vad_init(self._state)

    def step(self, pcm: ReadableBuffer) -> int:
        """Take int16 [160]; bit 0 speech now, bit 1 inside an utterance (hang-over counted).

        Raises:
            ValueError: `pcm` is too short.
        """
        return int(_vad_step(self._state, _readable(pcm, _HOP_BYTES, "pcm")))

    def tune(self, threshold_db: int, hangover_ms: int) -> None:
        """Set threshold (1..60 dB over the floor) and hang-over (0..10000 ms); -1 leaves a value.

        Raises:
            ValueError: one is out of range.
        """
        # Beyond these ctypes would cut the numbers to 32 bits.
        near = max(abs(threshold_db), abs(hangover_ms)) < 1 << 31
        if not near or not _library.harken_vad_tune(self._state, threshold_db, hangover_ms):
            raise ValueError("threshold_db must be 1 to 60, hangover_ms 0 to 10000")

    def reset(self) -> None:
        """Forget the sound and the floor; what `tune` set stays."""
        _library.harken_vad_reset(self._state)

    def level_db(self) -> int:
        """Level of the last hop, in dB of full scale."""
        return int(_library.harken_vad_level_db(self._state))

    def floor_db(self) -> int:
        """The tracked noise floor, in dB of full scale."""
        return int(_library.harken_vad_floor_db(self._state))


def mask(buffer: WriteableBuffer, offset: int, length: int, key: bytes) -> None:
    """WebSocket masking in place: `length` bytes of `buffer` from `offset` with 4 bytes of `key`.

    Raises:
        ValueError: the range does not lie in the buffer, or the key is not 4 bytes.
    """
    if len(key) != 4 or offset < 0 or length < 0:
        raise ValueError("mask needs a key of 4 bytes and a range inside the buffer")
    masked = _writable(buffer, offset + length, "buffer")
    _library.harken_mask(ctypes.addressof(masked) + offset, length, bytes(key))
