"""Opus by libopus, called without allocating anything but the bytes returned.

The library is the one inside the `opuslib-next-bundled` wheel (its Python code is never run), or
the system's where the wheel is not installed. Opus itself is RFC 6716.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harken.errors import AudioError, StartError

if TYPE_CHECKING:
    from harken.audio.pcm import Pcm

__all__ = ["MAX_PACKET", "RATES", "Decoder", "Encoder", "libopus", "packet_ms"]

RATES: Final = (8_000, 12_000, 16_000, 24_000, 48_000)
"""Sample rates that Opus codes without resampling."""

FRAMES_MS: Final = (5, 10, 20, 40, 60, 80, 100, 120)

MAX_MS: Final = 120
"""The longest packet that RFC 6716 section 3.2.5 allows."""

MAX_PACKET: Final = 6 * 1275 + 7
"""Bytes of the largest packet accepted: 120 ms in 20 ms frames of 1,275 bytes, with lengths."""

_APPLICATION_VOIP: Final = 2048
_SET_BITRATE: Final = 4002
_SET_COMPLEXITY: Final = 4010
_RESET_STATE: Final = 4028


def _library_path() -> str | None:
    spec = importlib.util.find_spec("opuslib_next")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for path in sorted(Path(folder, "_native").glob("*opus*")):
            return str(path)
    return ctypes.util.find_library("opus")


@lru_cache(maxsize=1)
def libopus() -> ctypes.CDLL:
    """The library, its functions typed; loaded once.

    Raises:
        StartError: there is none on this machine.
    """
    path = _library_path()
    if path is None:
        raise StartError(
            "libopus was not found",
            hint="install the Python package `opuslib-next-bundled` or Debian's `libopus0`",
        )
    library = ctypes.CDLL(path)
    pointer, number = ctypes.c_void_p, ctypes.c_int
    signatures = {
        "opus_encoder_create": (pointer, number, number, number, pointer),
        "opus_encoder_destroy": (None, pointer),
        "opus_encoder_ctl": (number, pointer, number, number),
        "opus_encode": (number, pointer, pointer, number, pointer, number),
        "opus_decoder_create": (pointer, number, number, pointer),
        "opus_decoder_destroy": (None, pointer),
        "opus_decoder_ctl": (number, pointer, number),
        "opus_decode": (number, pointer, ctypes.c_char_p, number, pointer, number, number),
        "opus_packet_get_nb_samples": (number, ctypes.c_char_p, number, number),
        "opus_strerror": (ctypes.c_char_p, number),
    }
    for name, (result, *arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def _reason(status: int) -> str:
    return bytes(libopus().opus_strerror(status)).decode("ascii", "replace")


def _check_rate(rate: int) -> None:
    if rate not in RATES:
        raise AudioError(
            f"Opus has no rate of {rate} Hz", hint=f"one of {', '.join(map(str, RATES))}"
        )


def packet_ms(packet: bytes) -> float:
    """How long a packet sounds, without decoding it.

    Raises:
        AudioError: it is empty, too large, or its header is not Opus.
    """
    _check_packet(packet)
    samples = int(libopus().opus_packet_get_nb_samples(packet, len(packet), 48_000))
    if not 0 < samples <= 48 * MAX_MS:
        raise AudioError(f"not an Opus packet: {len(packet)} bytes, {_reason(samples)}")
    return samples / 48


def _check_packet(packet: bytes) -> None:
    if not 0 < len(packet) <= MAX_PACKET:
        raise AudioError(f"an Opus packet has 1 to {MAX_PACKET} bytes, not {len(packet)}")


class Encoder:
    """Mono speech into Opus packets of one length, at a variable bit rate.

    Args:
        rate: samples a second, one of `RATES`.
        bitrate: bits a second to aim for.
        complexity: effort, 0 to 10.
        frame_ms: length of each packet.

    Attributes:
        state: libopus' own encoder.
        frame_samples, frame_bytes: size of one frame.

    Raises:
        AudioError: libopus does not take these.
    """

    def __init__(
        self, rate: int, bitrate: int = 24_000, complexity: int = 3, frame_ms: int = 20
    ) -> None:
        self.state = None
        _check_rate(rate)
        if frame_ms not in FRAMES_MS:
            raise AudioError(f"Opus has no frames of {frame_ms} ms", hint=f"one of {FRAMES_MS}")
        self.rate = rate
        self.frame_ms = frame_ms
        self.frame_samples = rate * frame_ms // 1000
        self.frame_bytes = 2 * self.frame_samples
        library = libopus()
        status = ctypes.c_int()
        state = library.opus_encoder_create(rate, 1, _APPLICATION_VOIP, ctypes.byref(status))
        if status.value != 0:
            raise AudioError(f"libopus made no encoder: {_reason(status.value)}")
        self.state = ctypes.c_void_p(state)
        self._encode = library.opus_encode
        self._destroy = library.opus_encoder_destroy
        self._ctl = library.opus_encoder_ctl
        pcm = ctypes.create_string_buffer(self.frame_bytes)
        self._packet = ctypes.create_string_buffer(MAX_PACKET)
        self._pcm_at = ctypes.cast(pcm, ctypes.c_void_p)
        self._packet_at = ctypes.cast(self._packet, ctypes.c_void_p)
        self._pcm_view = memoryview(pcm).cast("B")
        self._packet_view = memoryview(self._packet).cast("B")
        self.tune(bitrate=bitrate, complexity=complexity)

    def tune(self, *, bitrate: int | None = None, complexity: int | None = None) -> None:
        """Change what is aimed for, from the next packet on.

        Raises:
            AudioError: libopus does not take the value.
        """
        for request, value in ((_SET_BITRATE, bitrate), (_SET_COMPLEXITY, complexity)):
            if value is not None:
                status = self._ctl(self.state, request, value)
                if status != 0:
                    raise AudioError(f"libopus refuses {value}: {_reason(status)}")

    def encode(self, pcm: Pcm) -> bytes:
        """One frame into one packet.

        Args:
            pcm: int16 native endian [frame_samples], mono.

        Raises:
            AudioError: it is not exactly one frame.
        """
        return bytes(self._packet_view[: self._fill(pcm)])

    def encode_into(self, pcm: Pcm, out: memoryview) -> int:
        """Like `encode`, into `out`; returns the bytes written there.

        Raises:
            AudioError: `pcm` is not one frame, or `out` is too small for the packet.
        """
        size = self._fill(pcm)
        if size > len(out):
            raise AudioError(f"the packet has {size} bytes, the buffer {len(out)}")
        out[:size] = self._packet_view[:size]
        return size

    def reset(self) -> None:
        """Forget everything heard: the next packet stands alone."""
        self._ctl(self.state, _RESET_STATE, 0)

    def _fill(self, pcm: Pcm) -> int:
        try:
            self._pcm_view[:] = memoryview(pcm).cast("B")
        except ValueError:
            size = memoryview(pcm).nbytes
            raise AudioError(
                f"a frame of {self.frame_ms} ms at {self.rate} Hz has {self.frame_bytes} bytes,"
                f" not {size}"
            ) from None
        size = int(
            self._encode(self.state, self._pcm_at, self.frame_samples, self._packet_at, MAX_PACKET)
        )
        if size < 0:
            raise AudioError(f"libopus could not encode: {_reason(size)}")
        return size

    def __del__(self) -> None:
        if self.state is not None:
            self._destroy(self.state)


class Decoder:
    """Opus packets of any length and rate into mono samples at one rate.

    Args:
        rate: samples a second wanted, one of `RATES`; Opus decodes straight to it.

    Attributes:
        state: libopus' own decoder.

    Raises:
        AudioError: libopus does not take the rate.
    """

    def __init__(self, rate: int) -> None:
        self.state = None
        _check_rate(rate)
        self.rate = rate
        library = libopus()
        status = ctypes.c_int()
        state = library.opus_decoder_create(rate, 1, ctypes.byref(status))
        if status.value != 0:
            raise AudioError(f"libopus made no decoder: {_reason(status.value)}")
        self.state = ctypes.c_void_p(state)
        self._decode = library.opus_decode
        self._destroy = library.opus_decoder_destroy
        self._ctl = library.opus_decoder_ctl
        self._most = rate * MAX_MS // 1000
        pcm = ctypes.create_string_buffer(2 * self._most)
        self._pcm_at = ctypes.cast(pcm, ctypes.c_void_p)
        self._pcm_view = memoryview(pcm).cast("B")

    def decode(self, packet: bytes) -> bytes:
        """One packet into its samples, int16 native endian mono.

        Raises:
            AudioError: it is empty, too large or not Opus; the decoder goes on with the next.
        """
        _check_packet(packet)
        samples = self._decode(self.state, packet, len(packet), self._pcm_at, self._most, 0)
        if samples < 0:
            raise AudioError(f"not an Opus packet: {len(packet)} bytes, {_reason(samples)}")
        return bytes(self._pcm_view[: 2 * samples])

    def conceal(self, ms: float) -> bytes:
        """What a lost packet of `ms` may have sounded like, int16 native endian mono.

        Args:
            ms: length of what was lost; more than 120 ms is cut to that.

        Raises:
            AudioError: it is not a multiple of 2.5 ms.
        """
        wanted = int(min(ms, MAX_MS) * self.rate) // 1000
        samples = self._decode(self.state, None, 0, self._pcm_at, wanted, 0)
        if samples < 0:
            raise AudioError(f"Opus cannot conceal {ms} ms", hint="use a multiple of 2.5 ms")
        return bytes(self._pcm_view[: 2 * samples])

    def reset(self) -> None:
        """Forget everything decoded: the next packet stands alone."""
        self._ctl(self.state, _RESET_STATE)

    def __del__(self) -> None:
        if self.state is not None:
            self._destroy(self.state)
