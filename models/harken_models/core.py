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
    OctetRows = np.ndarray[tuple[int, int], np.dtype[np.uint8]]
    Rows = np.ndarray[tuple[int, int], np.dtype[np.int8]]
    Samples = np.ndarray[tuple[int], np.dtype[np.int16]]

__all__ = ["BANDS", "FEATURES", "HOP", "Cleaner", "Features", "Gain", "Model", "Vad", "mask"]

HOP = 160
"""Samples of one step, 10 ms at 16 kHz."""
FEATURES = 40
BANDS = 40
"""Mel bands of a noise model's gains."""

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
        "model_size": (number, [pointer]),
        "model_reset": (None, [pointer, pointer]),
        "model_stride": (number, [pointer]),
        "model_outputs": (number, [pointer]),
        "model_output": (pointer, [pointer]),
        "model_step": (ctypes.c_int, [pointer, pointer]),
        "model_run": (number, [pointer, pointer, number, pointer]),
        "vad_size": (number, []),
        "vad_init": (None, [pointer]),
        "vad_reset": (None, [pointer]),
        "vad_tune": (ctypes.c_int, [pointer, ctypes.c_int, ctypes.c_int]),
        "vad_step": (ctypes.c_int, [pointer, pointer, ctypes.c_int]),
        "vad_level_db": (ctypes.c_int, [pointer]),
        "vad_floor_db": (ctypes.c_int, [pointer]),
        "gain_size": (number, []),
        "gain_reset": (None, [pointer]),
        "gain_step": (ctypes.c_int, [pointer, pointer, ctypes.c_int, ctypes.c_int, pointer]),
        "gain_db": (ctypes.c_int, [pointer]),
        "cleaner_size": (number, []),
        "cleaner_init": (None, [pointer]),
        "cleaner_reset": (None, [pointer]),
        "cleaner_switch": (None, [pointer, number]),
        "cleaner_gains": (None, [pointer, pointer]),
        "cleaner_step": (ctypes.c_int, [pointer] * 5),
        "cleaner_run": (number, [pointer, pointer, pointer, number, pointer, pointer]),
        "cleaner_erle_db": (ctypes.c_int, [pointer]),
        "cleaner_delay_ms": (ctypes.c_int, [pointer]),
        "cleaner_noise_db": (ctypes.c_int, [pointer]),
        "cleaner_gain_db": (ctypes.c_int, [pointer]),
        "mask": (None, [pointer, size, pointer]),
    }
    for call, (result, arguments) in signatures.items():
        # By attribute: each `library[name]` would be a new function without these types.
        function = getattr(library, f"harken_{call}")
        function.restype, function.argtypes = result, arguments
    return library


_library = _load()
_features_step = _library.harken_features_step
_model_step = _library.harken_model_step
_vad_step = _library.harken_vad_step
_cleaner_step = _library.harken_cleaner_step


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


class Model:
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
        self._state = ctypes.create_string_buffer(_library.harken_model_size(self._model))
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
        return int(_model_step(self._state, _readable(row, FEATURES, "row")))

    def outputs(self, out: WriteableBuffer) -> int:
        """Copy what the last stride gave, one byte an output, into `out`; returns how many.

        Raises:
            ValueError: `out` is too short or read-only.
        """
        count = int(_library.harken_model_outputs(self._state))
        room = _writable(out, count, "out")
        ctypes.memmove(room, _library.harken_model_output(self._state), count)
        return count

    def run(self, rows: Rows) -> Octets:
        """The first outputs that `step` would have given for int8 [n, 40]: uint8 [n // stride]."""
        return np.ascontiguousarray(self.run_outputs(rows)[:, 0])

    def run_outputs(self, rows: Rows) -> OctetRows:
        """All outputs of every stride in int8 [n, 40]: uint8 [n // stride, outputs]."""
        block = np.ascontiguousarray(rows, np.int8).reshape(-1, FEATURES)
        count = int(_library.harken_model_outputs(self._state))
        answers = np.empty((len(block) // self.stride() + 1, count), np.uint8)
        written = _library.harken_model_run(
            self._state, block.ctypes.data, len(block), answers.ctypes.data
        )
        return answers[:written]

    def reset(self) -> None:
        """Make it as new."""
        _library.harken_model_reset(self._state, self._model)

    def stride(self) -> int:
        """Rows in a stride."""
        return int(_library.harken_model_stride(self._state))


class Vad:
    """Energy over a tracked noise floor, with hang-over (`firmware/native/core/vad.h`)."""

    SPEECH = 1
    UTTERANCE = 2

    def __init__(self) -> None:
        self._state = ctypes.create_string_buffer(_library.harken_vad_size())
        _library.harken_vad_init(self._state)

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
        return int(_vad_step(self._state, _readable(pcm, _HOP_BYTES, "pcm"), probability))

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


class Gain:
    """Automatic gain and limiter alone (`firmware/native/core/gain.h`)."""

    def __init__(self) -> None:
        self._state = ctypes.create_string_buffer(_library.harken_gain_size())
        self.reset()

    def step(self, pcm: ReadableBuffer, speech: int, noise_db: int, out: WriteableBuffer) -> int:
        """Take one hop.

        Args:
            pcm: int16 [160], 16 kHz mono.
            speech: whether somebody speaks in it, 0 or 1.
            noise_db: the noise in it, -200 to 0 dB of full scale.
            out: room for int16 [160].

        Returns:
            1 where the limiter worked.

        Raises:
            ValueError: a buffer is too short, `out` is read-only, or a number is out of range.
        """
        if not 0 <= speech <= 1 or not -200 <= noise_db <= 0:
            raise ValueError("speech must be 0 or 1, noise_db -200 to 0")
        hop, room = _readable(pcm, _HOP_BYTES, "pcm"), _writable(out, _HOP_BYTES, "out")
        return int(_library.harken_gain_step(self._state, hop, speech, noise_db, room))

    def reset(self) -> None:
        """As new: no gain, no limiting."""
        _library.harken_gain_reset(self._state)

    def gain_db(self) -> int:
        """The gain reached, without the limiter."""
        return int(_library.harken_gain_db(self._state))


class Cleaner:
    """High-pass, echo canceller, noise suppression and gain (`firmware/native/core/cleaner.h`)."""

    HIGHPASS = 1
    ECHO = 2
    SUPPRESS = 4
    NOISE = 8
    GAIN = 16
    ALL = 31

    CANCELLING = 1
    CONVERGED = 2
    NEAR = 4
    LIMITED = 8

    def __init__(self) -> None:
        self._state = ctypes.create_string_buffer(_library.harken_cleaner_size())
        _library.harken_cleaner_init(self._state)

    @property
    def state_size(self) -> int:
        """Bytes of state, all of them allocated at construction."""
        return len(self._state)

    def step(
        self,
        mic: ReadableBuffer,
        reference: ReadableBuffer | None,
        out: WriteableBuffer,
        linear: WriteableBuffer | None,
    ) -> int:
        """Take one hop.

        Args:
            mic: int16 [160], 16 kHz mono.
            reference: int16 [160] the loudspeaker was given for that time; None: nothing known.
            out: room for int16 [160], the cleaned sound, one hop behind `mic`.
            linear: room for int16 [160], the echo canceller's own output, or None.

        Returns:
            Bit 0 echo is being cancelled, bit 1 the filter has converged, bit 2 near talker, bit 3
            the limiter worked.

        Raises:
            ValueError: a buffer is too short, or one to write into is read-only.
        """
        return int(
            _cleaner_step(
                self._state,
                _readable(mic, _HOP_BYTES, "mic"),
                None if reference is None else _readable(reference, _HOP_BYTES, "reference"),
                _writable(out, _HOP_BYTES, "out"),
                None if linear is None else _writable(linear, _HOP_BYTES, "linear"),
            )
        )

    def run(self, mic: Samples, reference: Samples | None) -> tuple[Samples, Samples]:
        """All whole hops of int16 [n]: what `step` would have written, (out, linear).

        Raises:
            ValueError: `reference` is shorter than `mic`.
        """
        near = np.ascontiguousarray(mic, np.int16)
        hops = near.size // HOP
        far = None if reference is None else np.ascontiguousarray(reference, np.int16)
        if far is not None and far.size < hops * HOP:
            raise ValueError(f"reference needs {hops * HOP} samples, not {far.size}")
        out, linear = np.empty(hops * HOP, np.int16), np.empty(hops * HOP, np.int16)
        _library.harken_cleaner_run(
            self._state,
            near.ctypes.data,
            None if far is None else far.ctypes.data,
            hops,
            out.ctypes.data,
            linear.ctypes.data,
        )
        return out, linear

    def switch(self, parts: int) -> None:
        """Switch on the parts in `parts`, a sum of `HIGHPASS` to `GAIN`, and off all others.

        Raises:
            ValueError: it is no such sum.
        """
        if not 0 <= parts <= self.ALL:
            raise ValueError("parts must be a sum of 1, 2, 4, 8, 16")
        _library.harken_cleaner_switch(self._state, parts)

    def gains(self, gains: ReadableBuffer | None) -> None:
        """A noise model's gains for the next hop, uint8 [40], 255: all passes; None: no model.

        Raises:
            ValueError: there are fewer than 40.
        """
        bands = None if gains is None else _readable(gains, BANDS, "gains")
        _library.harken_cleaner_gains(self._state, bands)

    def reset(self) -> None:
        """Forget the sound; what `switch` set stays."""
        _library.harken_cleaner_reset(self._state)

    def erle_db(self) -> int:
        """How much of the echo is taken away (echo return loss enhancement), in dB."""
        return int(_library.harken_cleaner_erle_db(self._state))

    def delay_ms(self) -> int:
        """How long after `reference` its echo arrives."""
        return int(_library.harken_cleaner_delay_ms(self._state))

    def noise_db(self) -> int:
        """The noise at the microphone, in dB of full scale."""
        return int(_library.harken_cleaner_noise_db(self._state))

    def gain_db(self) -> int:
        """The gain last applied."""
        return int(_library.harken_cleaner_gain_db(self._state))


def mask(buffer: WriteableBuffer, offset: int, length: int, key: bytes) -> None:
    """WebSocket masking in place: `length` bytes of `buffer` from `offset` with 4 bytes of `key`.

    Raises:
        ValueError: the range does not lie in the buffer, or the key is not 4 bytes.
    """
    if len(key) != 4 or offset < 0 or length < 0:
        raise ValueError("mask needs a key of 4 bytes and a range inside the buffer")
    masked = _writable(buffer, offset + length, "buffer")
    _library.harken_mask(ctypes.addressof(masked) + offset, length, bytes(key))
