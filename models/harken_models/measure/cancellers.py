"""Echo cancellers beside each other: ours, WebRTC's AEC3, SpeexDSP's, and none at all.

Every one takes what the microphone heard and what the loudspeaker was given, in hops of 10 ms, and
is told nothing of the delay between them.
"""

from __future__ import annotations

import ctypes
import importlib
from ctypes.util import find_library
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from harken.errors import StartError
from harken_models.core import HOP, Cleaner

if TYPE_CHECKING:
    Samples = np.ndarray[tuple[int], np.dtype[np.int16]]

__all__ = ["Aec3", "Canceller", "Harken", "Speex", "Unprocessed"]

_RATE: Final = 16_000
_SPEEX_TAIL: Final = 4_096
"""Taps, 256 ms: SpeexDSP looks for no delay, so its filter must reach over it."""
# Of what comes out against what goes in, by cross-correlation with nothing to cancel.
_AEC3_LAG: Final = 128
_AEC3_ALL_LAG: Final = 224
_SET_RATE: Final = 24
_SET_ECHO_STATE: Final = 24
_SET_NOISE_SUPPRESS: Final = 18


class Canceller(Protocol):
    """Takes a loudspeaker's sound out of what a microphone heard.

    Attributes:
        name: what figures call it.
        latency: samples by which its output lags its input.
    """

    name: str
    latency: int

    def run(self, mic: Samples, reference: Samples) -> Samples:
        """A whole scene, from a fresh start.

        Args:
            mic: int16 [n], 16 kHz.
            reference: int16 [n], what the loudspeaker was given.

        Returns:
            int16 [n // 160 * 160].
        """
        ...


class Unprocessed:
    """The floor: what the microphone heard."""

    name = "unprocessed"
    latency = 0

    def run(self, mic: Samples, reference: Samples) -> Samples:
        """`mic`, cut to whole hops; see `Canceller.run`."""
        del reference
        return mic[: len(mic) // HOP * HOP].copy()


class Harken:
    """Ours: the C that the device runs.

    Args:
        parts: of `Cleaner`; all but noise suppression and gain, unless given.
        linear: take the canceller's own output, before anything is suppressed.
        name: what figures call it.
    """

    def __init__(
        self,
        parts: int = Cleaner.HIGHPASS | Cleaner.ECHO | Cleaner.SUPPRESS,
        *,
        linear: bool = False,
        name: str = "harken",
    ) -> None:
        self.name = name
        self.latency = 0 if linear else HOP
        self._parts = parts
        self._linear = linear

    def run(self, mic: Samples, reference: Samples) -> Samples:
        """See `Canceller.run`."""
        cleaner = Cleaner()
        cleaner.switch(self._parts)
        out, linear = cleaner.run(mic, reference)
        return linear if self._linear else out


class Aec3:
    """WebRTC's audio processing, AEC3, as `livekit` ships it.

    Args:
        everything: with its noise suppression, high-pass filter and gain control as well.

    Raises:
        StartError: `livekit` is not installed.
    """

    def __init__(self, *, everything: bool = False) -> None:
        self.name = "WebRTC AEC3, NS, AGC" if everything else "WebRTC AEC3"
        self.latency = _AEC3_ALL_LAG if everything else _AEC3_LAG
        self._everything = everything
        try:
            self._rtc: Any = importlib.import_module("livekit.rtc")
        except ImportError as error:
            raise _missing("livekit", "WebRTC's AEC3") from error

    def run(self, mic: Samples, reference: Samples) -> Samples:
        """See `Canceller.run`."""
        processing: Any = self._rtc.AudioProcessingModule(
            echo_cancellation=True,
            noise_suppression=self._everything,
            high_pass_filter=self._everything,
            auto_gain_control=self._everything,
        )
        frame = self._rtc.AudioFrame
        out = np.empty(len(mic) // HOP * HOP, np.int16)
        for at in range(0, out.size, HOP):
            played = frame(reference[at : at + HOP].tobytes(), _RATE, 1, HOP)
            heard = frame(mic[at : at + HOP].tobytes(), _RATE, 1, HOP)
            processing.process_reverse_stream(played)
            # As on a device, nobody knows the delay; but a call without this fails.
            processing.set_stream_delay_ms(0)
            processing.process_stream(heard)
            out[at : at + HOP] = np.frombuffer(heard.data, np.int16)
        return out


class Speex:
    """SpeexDSP's MDF canceller, from Debian's libspeexdsp1.

    Args:
        suppress: with its preprocessor, which takes out residual echo; its noise suppression is
            set to 0 dB, since without it nothing of the preprocessor works.
        taps: of its filter; what lags the loudspeaker by more samples than that stays.
        name: what figures call it.

    Raises:
        StartError: the library is not installed.
    """

    def __init__(
        self, *, suppress: bool = True, taps: int = _SPEEX_TAIL, name: str = "SpeexDSP"
    ) -> None:
        self.name = name
        self.latency = HOP if suppress else 0
        self._suppress = suppress
        self._taps = taps
        self._library = _speex()

    def run(self, mic: Samples, reference: Samples) -> Samples:
        """See `Canceller.run`."""
        library = self._library
        echo = library.speex_echo_state_init(HOP, self._taps)
        library.speex_echo_ctl(echo, _SET_RATE, ctypes.byref(ctypes.c_int(_RATE)))
        preprocessor = library.speex_preprocess_state_init(HOP, _RATE)
        library.speex_preprocess_ctl(preprocessor, _SET_ECHO_STATE, echo)
        library.speex_preprocess_ctl(
            preprocessor, _SET_NOISE_SUPPRESS, ctypes.byref(ctypes.c_int(0))
        )
        heard = np.ascontiguousarray(mic)
        played = np.ascontiguousarray(reference)
        out = np.empty(len(mic) // HOP * HOP, np.int16)
        starts = (heard.ctypes.data, played.ctypes.data, out.ctypes.data)
        try:
            for at in range(0, 2 * out.size, 2 * HOP):
                mic_at, played_at, out_at = (start + at for start in starts)
                library.speex_echo_cancellation(echo, mic_at, played_at, out_at)
                if self._suppress:
                    library.speex_preprocess_run(preprocessor, out_at)
        finally:
            library.speex_preprocess_state_destroy(preprocessor)
            library.speex_echo_state_destroy(echo)
        return out


def _speex() -> ctypes.CDLL:
    name = find_library("speexdsp")
    if name is None:
        raise StartError(
            "SpeexDSP is not installed: there is nothing to compare with",
            hint="apt-get install libspeexdsp1",
        )
    library = ctypes.CDLL(name)
    pointer, number = ctypes.c_void_p, ctypes.c_int
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "echo_state_init": (pointer, [number, number]),
        "echo_state_destroy": (None, [pointer]),
        "echo_ctl": (number, [pointer, number, pointer]),
        "echo_cancellation": (None, [pointer] * 4),
        "preprocess_state_init": (pointer, [number, number]),
        "preprocess_state_destroy": (None, [pointer]),
        "preprocess_ctl": (number, [pointer, number, pointer]),
        "preprocess_run": (number, [pointer, pointer]),
    }
    for call, (result, arguments) in signatures.items():
        function = getattr(library, f"speex_{call}")
        function.restype, function.argtypes = result, arguments
    return library


def _missing(package: str, what: str) -> StartError:
    return StartError(
        f"{package} is not installed: there is no {what} to compare with",
        hint="`pip install --group measure` in the checkout installs what measuring needs",
    )
