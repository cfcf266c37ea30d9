"""What is done to a microphone's sound, in CPython: the core's cleaner, and its gain alone."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import numpy as np

from .core_library import HOP, HOP_BYTES, LIBRARY, readable, writable

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

    Samples = np.ndarray[tuple[int], np.dtype[np.int16]]

__all__ = ["BANDS", "Cleaner", "Gain"]

BANDS = 40
"""Mel bands of a noise model's gains."""

_cleaner_step = LIBRARY.harken_cleaner_step


class Gain:
    """Automatic gain and limiter alone (`firmware/native/core/gain.h`)."""

    def __init__(self) -> None:
        self._state = ctypes.create_string_buffer(LIBRARY.harken_gain_size())
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
        hop, room = readable(pcm, HOP_BYTES, "pcm"), writable(out, HOP_BYTES, "out")
        return int(LIBRARY.harken_gain_step(self._state, hop, speech, noise_db, room))

    def reset(self) -> None:
        """As new: no gain, no limiting."""
        LIBRARY.harken_gain_reset(self._state)

    def gain_db(self) -> int:
        """The gain reached, without the limiter."""
        return int(LIBRARY.harken_gain_db(self._state))


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
    OVER_SHIFT = 4
    CLIPPED = 256

    def __init__(self) -> None:
        self._state = ctypes.create_string_buffer(LIBRARY.harken_cleaner_size())
        LIBRARY.harken_cleaner_init(self._state)

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
            the limiter worked, bits 4 to 7 bands in which this hop is over echo and noise, bit 8
            the microphone's sound is cut off.

        Raises:
            ValueError: a buffer is too short, or one to write into is read-only.
        """
        return int(
            _cleaner_step(
                self._state,
                readable(mic, HOP_BYTES, "mic"),
                None if reference is None else readable(reference, HOP_BYTES, "reference"),
                writable(out, HOP_BYTES, "out"),
                None if linear is None else writable(linear, HOP_BYTES, "linear"),
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
        LIBRARY.harken_cleaner_run(
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
        LIBRARY.harken_cleaner_switch(self._state, parts)

    def gains(self, gains: ReadableBuffer | None) -> None:
        """A noise model's gains for the next hop, uint8 [40], 255: all passes; None: no model.

        Raises:
            ValueError: there are fewer than 40.
        """
        bands = None if gains is None else readable(gains, BANDS, "gains")
        LIBRARY.harken_cleaner_gains(self._state, bands)

    def reset(self) -> None:
        """Forget the sound; what `switch` set stays."""
        LIBRARY.harken_cleaner_reset(self._state)

    def erle_db(self) -> int:
        """How much of the echo is taken away (echo return loss enhancement), in dB."""
        return int(LIBRARY.harken_cleaner_erle_db(self._state))

    def delay_ms(self) -> int:
        """How long after `reference` its echo arrives: a guess until the filter has converged."""
        return int(LIBRARY.harken_cleaner_delay_ms(self._state))

    def noise_db(self) -> int:
        """The noise at the microphone, in dB of full scale; -96 where nothing was heard yet."""
        return int(LIBRARY.harken_cleaner_noise_db(self._state))

    def gain_db(self) -> int:
        """The gain last applied."""
        return int(LIBRARY.harken_cleaner_gain_db(self._state))
