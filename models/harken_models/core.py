"""The device's audio core, in CPython: the shared library built from `firmware/native/core`.

The classes have the calls of MicroPython's module `harken_core`
(`docs/reference/native-modules.md`) and run the same C, so that what is measured here is what a
board computes, bit for bit. `run` is theirs alone: many steps in one call.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import numpy as np

from .core_cleaner import BANDS, Cleaner, Gain
from .core_library import HOP, HOP_BYTES, LIBRARY, readable, writable

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

    Octets = np.ndarray[tuple[int], np.dtype[np.uint8]]
    OctetRows = np.ndarray[tuple[int, int], np.dtype[np.uint8]]
    Rows = np.ndarray[tuple[int, int], np.dtype[np.int8]]
    Samples = np.ndarray[tuple[int], np.dtype[np.int16]]

__all__ = [
    "BANDS",
    "FEATURES",
    "HOP",
    "Cleaner",
    "Features",
    "Gain",
    "Model",
    "Vad",
    "amplify",
    "level",
    "mask",
]

FEATURES = 40

_FULL_GAIN = 32_768

_MODEL_ERRORS = {
    1: "the model must start at an address that 4 divides",
    2: "this is no packed model of a known version, or it is cut off",
    3: "the packed model is damaged: its checksum is wrong",
    4: "the packed model has a state that does not fit",
    5: "the packed model has an operation that does not fit",
}

_features_step = LIBRARY.harken_features_step
_model_step = LIBRARY.harken_model_step
_vad_step = LIBRARY.harken_vad_step


class Features:
    """The TensorFlow Lite Micro audio front end: 16 kHz, 30 ms window, 10 ms step, 40 channels."""

    def __init__(self) -> None:
        self._state = ctypes.create_string_buffer(LIBRARY.harken_features_size())
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
                readable(pcm, HOP_BYTES, "pcm"),
                writable(row, FEATURES, "row"),
            )
        )

    def run(self, pcm: Samples) -> Rows:
        """All whole hops of int16 [n]: the rows that `step` would have written, int8 [m, 40]."""
        samples = np.ascontiguousarray(pcm, np.int16)
        hops = samples.size // HOP
        rows = np.empty((hops, FEATURES), np.int8)
        written = LIBRARY.harken_features_run(
            self._state, samples.ctypes.data, hops, rows.ctypes.data
        )
        return rows[:written]

    def reset(self) -> None:
        """Make it as new."""
        LIBRARY.harken_features_reset(self._state)


class Model:
    """An int8 streaming model on the engine.

    Args:
        model: a packed model (`harken_models.pack`), kept as it is and referred to in place.

    Raises:
        ValueError: it is not one, is damaged, or does not fit the engine.
    """

    def __init__(self, model: bytes) -> None:
        self._model = bytes(model)
        error = LIBRARY.harken_model_check(self._model, len(self._model))
        if error:
            raise ValueError(_MODEL_ERRORS[error])
        self._state = ctypes.create_string_buffer(LIBRARY.harken_model_size(self._model))
        self.reset()

    @property
    def state_size(self) -> int:
        """Bytes of state, all of them allocated at construction."""
        return len(self._state)

    def step(self, row: ReadableBuffer) -> int:
        """Take int8 [40]; -1 until a stride of rows is together, else the first output, 0..255.

        Raises:
            ValueError: `row` is too short.
        """
        return int(_model_step(self._state, readable(row, FEATURES, "row")))

    def outputs(self, out: WriteableBuffer) -> int:
        """Copy what the last stride gave, one byte an output, into `out`; returns how many.

        Raises:
            ValueError: `out` is too short or read-only.
        """
        count = int(LIBRARY.harken_model_outputs(self._state))
        room = writable(out, count, "out")
        ctypes.memmove(room, LIBRARY.harken_model_output(self._state), count)
        return count

    def run(self, rows: Rows) -> Octets:
        """The first outputs that `step` would have given for int8 [n, 40]: uint8 [n // stride]."""
        return np.ascontiguousarray(self.run_outputs(rows)[:, 0])

    def run_outputs(self, rows: Rows) -> OctetRows:
        """All outputs of every stride in int8 [n, 40]: uint8 [n // stride, outputs]."""
        block = np.ascontiguousarray(rows, np.int8).reshape(-1, FEATURES)
        count = int(LIBRARY.harken_model_outputs(self._state))
        answers = np.empty((len(block) // self.stride() + 1, count), np.uint8)
        written = LIBRARY.harken_model_run(
            self._state, block.ctypes.data, len(block), answers.ctypes.data
        )
        return answers[:written]

    def reset(self) -> None:
        """Make it as new."""
        LIBRARY.harken_model_reset(self._state, self._model)

    def stride(self) -> int:
        """Rows in a stride."""
        return int(LIBRARY.harken_model_stride(self._state))


class Vad:
    """Energy over a tracked noise floor, with hang-over (`firmware/native/core/vad.h`)."""

    SPEECH = 1
    UTTERANCE = 2

    def __init__(self) -> None:
        self._state = ctypes.create_string_buffer(LIBRARY.harken_vad_size())
        LIBRARY.harken_vad_init(self._state)

    def step(self, pcm: ReadableBuffer, probability: int) -> int:
        """Take one hop.

        Args:
            pcm: int16 [160].
            probability: what a model says of the hop, 0..255, or -1: energy decides.

        Returns:
            Bit 0 speech now, bit 1 inside an utterance (hang-over counted).

        Raises:
            ValueError: `pcm` is too short, or `probability` out of range.
        """
        if not -1 <= probability <= 255:
            raise ValueError("probability must be 0 to 255, or -1")
        return int(_vad_step(self._state, readable(pcm, HOP_BYTES, "pcm"), probability))

    def tune(self, threshold_db: int, hangover_ms: int) -> None:
        """Set threshold (1..60 dB over the floor) and hang-over (0..10000 ms); -1 leaves a value.

        Raises:
            ValueError: one is out of range.
        """
        # Beyond these ctypes would cut the numbers to 32 bits.
        near = max(abs(threshold_db), abs(hangover_ms)) < 1 << 31
        if not near or not LIBRARY.harken_vad_tune(self._state, threshold_db, hangover_ms):
            raise ValueError("threshold_db must be 1 to 60, hangover_ms 0 to 10000")

    def reset(self) -> None:
        """Forget the sound and the floor; what `tune` set stays."""
        LIBRARY.harken_vad_reset(self._state)

    def level_db(self) -> int:
        """Level of the last hop, in dB of full scale."""
        return int(LIBRARY.harken_vad_level_db(self._state))

    def floor_db(self) -> int:
        """The tracked noise floor, in dB of full scale."""
        return int(LIBRARY.harken_vad_floor_db(self._state))


def level(one: ReadableBuffer, other: ReadableBuffer | None) -> int:
    """The level of what 160 samples have more than others, or, without others, their own.

    Args:
        one: int16 [160].
        other: int16 [160], or None.

    Returns:
        The logarithm of the power to base 2, times 16, without the mean; 517 is full scale.

    Raises:
        ValueError: a buffer is too short.
    """
    less = None if other is None else readable(other, HOP_BYTES, "other")
    return int(LIBRARY.harken_level(readable(one, HOP_BYTES, "one"), less))


def amplify(pcm: ReadableBuffer, start: int, gain: int, goal: int, out: WriteableBuffer) -> int:
    """Multiply 160 samples by a gain that moves in a line.

    Args:
        pcm: int16.
        start: the first sample taken.
        gain: of that sample, 32,768 is 1.0.
        goal: what the gain moves to, in 160 steps.
        out: room for int16 [160].

    Returns:
        The first sample whose magnitude is above 64, or -1.

    Raises:
        ValueError: a buffer is too short, or a gain is not 0 to 32,768.
    """
    if start < 0:
        raise ValueError("start must not be below 0")
    if not 0 <= gain <= _FULL_GAIN or not 0 <= goal <= _FULL_GAIN:
        raise ValueError("gains must be 0 to 32768")
    samples = readable(memoryview(pcm).cast("B")[2 * start :], HOP_BYTES, "pcm")
    return int(LIBRARY.harken_amplify(samples, gain, goal, writable(out, HOP_BYTES, "out")))


def mask(buffer: WriteableBuffer, offset: int, length: int, key: bytes) -> None:
    """WebSocket masking in place: `length` bytes of `buffer` from `offset` with 4 bytes of `key`.

    Raises:
        ValueError: the range does not lie in the buffer, or the key is not 4 bytes.
    """
    if len(key) != 4 or offset < 0 or length < 0:
        raise ValueError("mask needs a key of 4 bytes and a range inside the buffer")
    masked = writable(buffer, offset + length, "buffer")
    LIBRARY.harken_mask(ctypes.addressof(masked) + offset, length, bytes(key))
