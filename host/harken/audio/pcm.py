"""PCM: levels, and a resampler that takes audio as it comes.

PCM here is int16, mono, native endian, as bytes.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from harken.errors import AudioError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Pcm", "Resampler", "level_dbfs", "rms"]

Pcm = bytes | bytearray | memoryview

_MAX_RATE: Final = 192_000
_ZERO_CROSSINGS: Final = 32
"""On either side of the kernel, counted at the lower of the two rates."""
_KAISER_BETA: Final = 8.0
"""Stop band about -80 dB, below the noise of 16 bit speech."""
_PASS_BAND: Final = 0.94
"""Cut-off as a share of the lower Nyquist rate, so that the stop band begins near it."""


def _samples(pcm: Pcm) -> NDArray[np.float32]:
    return np.frombuffer(memoryview(pcm), np.int16).astype(np.float32)


def rms(pcm: Pcm) -> float:
    """Root mean square of the samples as a share of full scale, 0 to 1; 0 for no samples."""
    samples = _samples(pcm)
    if samples.size == 0:
        return 0.0
    return float(math.sqrt(np.dot(samples, samples) / samples.size) / 32_768)


def level_dbfs(pcm: Pcm) -> float:
    """Root mean square in dB of full scale, not below -100."""
    return max(-100.0, 20 * math.log10(max(rms(pcm), 1e-9)))


@lru_cache(maxsize=32)
def _kernels(up: int, down: int) -> NDArray[np.float32]:
    """The windowed-sinc kernel split into its phases: float32 [up, taps]."""
    cutoff = _PASS_BAND * min(1.0, up / down)
    half = math.ceil(_ZERO_CROSSINGS / min(1.0, up / down))
    taps = np.arange(-half + 1, half + 1)
    at = taps[None, :] - np.arange(up)[:, None] / up
    window = np.i0(_KAISER_BETA * np.sqrt(np.maximum(0.0, 1 - (at / half) ** 2)))
    kernels = np.sinc(cutoff * at) * window
    kernels /= kernels.sum(axis=1, keepdims=True)
    kernels.setflags(write=False)
    result: NDArray[np.float32] = kernels.astype(np.float32)
    return result


class Resampler:
    """Changes the sample rate of a stream, block by block, with no seam between blocks.

    A polyphase filter bank with a Kaiser-windowed sinc kernel: J. O. Smith, "Digital Audio
    Resampling", CCRMA, Stanford; and P. P. Vaidyanathan, "Multirate Systems and Filter Banks",
    chapter 4. The output is aligned with the input in time; the last 32 samples or so of it come
    with the next block, or with `flush`.

    Args:
        source_rate: samples a second that come in.
        target_rate: samples a second that go out.

    Raises:
        AudioError: a rate is not between 1 and 192,000.
    """

    def __init__(self, source_rate: int, target_rate: int) -> None:
        for rate in (source_rate, target_rate):
            if not 1 <= rate <= _MAX_RATE:
                raise AudioError(f"{rate} Hz is not a sample rate between 1 and {_MAX_RATE}")
        common = math.gcd(source_rate, target_rate)
        self._up = target_rate // common
        self._down = source_rate // common
        self.source_rate = source_rate
        self.target_rate = target_rate
        if self._up != self._down:
            self._kernels = _kernels(self._up, self._down)
            self._taps = int(self._kernels.shape[1])
        self.reset()

    def reset(self) -> None:
        """As new: what was not put out yet is forgotten."""
        if self._up == self._down:
            return
        # The kernel looks at half its taps before the sample it stands on.
        self._held = np.zeros(self._taps // 2 - 1, np.float32)
        self._at = 0  # of the next output sample, in 1/up input samples from the first held one

    def feed(self, pcm: Pcm) -> bytes:
        """Take the next block of any length; returns what can be put out by now."""
        if self._up == self._down:
            return bytes(pcm)
        return self._run(_samples(pcm))

    def flush(self) -> bytes:
        """The end of the stream: what was still held. The resampler is then as new."""
        if self._up == self._down:
            return b""
        last = self._run(np.zeros(self._taps // 2, np.float32))
        self.reset()
        return last

    def _run(self, block: NDArray[np.float32]) -> bytes:
        held = np.concatenate((self._held, block))
        ready = (held.size - self._taps + 1) * self._up - self._at
        count = max(0, -(-ready // self._down))
        at = self._at + self._down * np.arange(count)
        starts, phases = np.divmod(at, self._up)
        done, self._at = divmod(self._at + self._down * count, self._up)
        drop = min(done, held.size)
        self._held = held[drop:]
        self._at += (done - drop) * self._up
        if count == 0:
            return b""
        windows = np.lib.stride_tricks.sliding_window_view(held, self._taps)[starts]
        mixed = np.einsum("nk,nk->n", windows, self._kernels[phases])
        out: NDArray[np.int16] = np.clip(np.rint(mixed), -32_768, 32_767).astype(np.int16)
        return out.tobytes()
