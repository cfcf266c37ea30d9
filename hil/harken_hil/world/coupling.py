"""The way of the device's own sound: loudspeaker, its clock, the room, back to the microphone."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harken_models.scenes.loudspeaker import Loudspeaker
    from harken_models.scenes.room import Room

BLOCK = 160
# Half the length of the kernel that reads between two samples.
_LOBES = 8
# How far behind the microphone's clock a skewed loudspeaker plays, and how far from there it may
# drift before its buffer overflows or runs dry and a block is left out or said twice.
_LAG = 320
_FURTHEST_DRIFT = 160


class Coupling:
    """What the microphone hears of the loudspeaker, block after block.

    Args:
        room: its whole reverberation is heard.
        loudspeaker: what plays; its state is this object's from now on.
        direct_db: level of the direct sound at the microphone over what is played.
        skew_ppm: by how much the loudspeaker's clock is faster than the microphone's.
    """

    def __init__(
        self, room: Room, loudspeaker: Loudspeaker, direct_db: float, skew_ppm: float = 0.0
    ) -> None:
        taps = room.response(room.loudspeaker).taps * 10 ** (direct_db / 20)
        self._loudspeaker = loudspeaker
        self._path = _Convolution(taps)
        self._drift = _Drift(skew_ppm) if skew_ppm else None

    def block(self, played: NDArray[np.int16]) -> NDArray[np.float64]:
        """The echo during the block in which `played` is played: float64 [160], int16 units."""
        radiated = self._loudspeaker.play(played)
        if self._drift is not None:
            radiated = self._drift.block(radiated)
        return self._path.block(radiated)


class _Convolution:
    """With a long response, in equal partitions, without delay.

    Source: Stockham, "High-speed convolution and correlation", 1966; Kulp, "Digital equalization
    using Fourier transform techniques", 85th AES convention, 1988 (partitions).
    """

    def __init__(self, taps: NDArray[np.float64]) -> None:
        padded = np.concatenate([taps, np.zeros(-len(taps) % BLOCK)]).reshape(-1, BLOCK)
        self._partitions = np.fft.rfft(padded, 2 * BLOCK)
        self._spectra = np.zeros_like(self._partitions)
        self._newest = 0
        self._last = np.zeros(BLOCK)

    def block(self, samples: NDArray[np.float64]) -> NDArray[np.float64]:
        count = len(self._partitions)
        self._newest = (self._newest - 1) % count
        self._spectra[self._newest] = np.fft.rfft(np.concatenate([self._last, samples]))
        self._last = samples
        # Partition k is for the block of k blocks ago.
        cut = count - self._newest
        total = np.einsum("kf,kf->f", self._partitions[:cut], self._spectra[self._newest :])
        total += np.einsum("kf,kf->f", self._partitions[cut:], self._spectra[: self._newest])
        return np.fft.irfft(total)[BLOCK:]


class _Drift:
    """Reads what is played at the pace of another clock."""

    def __init__(self, ppm: float) -> None:
        self._rate = 1 + ppm * 1e-6
        self._recent = np.zeros(_LAG + _FURTHEST_DRIFT + 2 * _LOBES + BLOCK)
        self._lag = float(_LAG)

    def block(self, samples: NDArray[np.float64]) -> NDArray[np.float64]:
        self._recent = np.concatenate([self._recent[BLOCK:], samples])
        begin = len(self._recent) - BLOCK - self._lag
        at = begin + np.arange(BLOCK) * self._rate
        whole = np.floor(at).astype(np.int64)
        index = whole[:, None] + np.arange(1 - _LOBES, _LOBES + 1)
        distance = at[:, None] - index
        kernel = np.sinc(distance) * np.cos(np.pi * distance / (2 * _LOBES)) ** 2
        self._lag -= BLOCK * (self._rate - 1)
        if abs(self._lag - _LAG) > _FURTHEST_DRIFT:
            self._lag = float(_LAG)
        return cast("NDArray[np.float64]", np.sum(self._recent[index] * kernel, axis=1))
