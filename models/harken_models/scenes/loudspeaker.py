"""A small loudspeaker: what it does to a sound before the room does the rest.

A Hammerstein-Wiener model of a memoryless non-linearity between two filters, as acoustic echo
research uses it: a microspeaker at a high level adds mostly a second harmonic (its suspension and
magnetic field are not symmetrical) and then saturates. See Comminiello et al., "Functional link
adaptive filters for nonlinear acoustic echo cancellation", IEEE TASLP 21(7), 2013.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
from scipy import signal as _signal  # type: ignore[import-untyped]

from harken.errors import RigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATE = 16_000
FULL_SCALE = 32_768
SMALL_SPEAKER_HZ = (220.0, 7_200.0)
"""What a speaker of 20 to 30 mm in a small case radiates."""

signal = cast("Any", _signal)
# At distortion 1: how much of the square is added, how hard the saturation is driven, and where
# the amplifier clips, as a share of full scale.
_EVEN = 0.25
_DRIVE = 1.6
_CLIP_OFF = 0.35


class Loudspeaker:
    """Plays samples block after block, its filters going on where they were.

    Args:
        distortion: 0 is linear, 1 a cheap speaker driven far too hard (a full-scale tone has a
            total harmonic distortion of some 3 % at 0.2, 7 % at 0.5 and 14 % at 1).
        band_hz: what it radiates, at -3 dB; None: everything.

    Raises:
        RigError: the distortion is not in 0..1, or there is no such band at 16 kHz.
    """

    def __init__(
        self, distortion: float = 0.0, band_hz: tuple[float, float] | None = SMALL_SPEAKER_HZ
    ) -> None:
        if not 0 <= distortion <= 1:
            raise RigError(f"a distortion of {distortion:g}", hint="give one from 0 to 1")
        if band_hz is not None and not 0 < band_hz[0] < band_hz[1] < RATE / 2:
            raise RigError(
                f"a loudspeaker from {band_hz[0]:g} to {band_hz[1]:g} Hz",
                hint=f"give a band between 0 and {RATE // 2} Hz, the lower end first",
            )
        self.distortion = distortion
        self.band_hz = band_hz
        self._sections: NDArray[np.float64] | None = None
        if band_hz is not None:
            self._sections = signal.butter(2, band_hz, "bandpass", fs=RATE, output="sos")
        self.reset()

    def reset(self) -> None:
        """Forget what was played."""
        sections = 0 if self._sections is None else len(self._sections)
        self._state = np.zeros((sections, 2))

    def play(self, samples: NDArray[Any]) -> NDArray[np.float64]:
        """What is radiated.

        Args:
            samples: [n] of any real type, in units of an int16 sample, 16 kHz; goes on from the
                last call.

        Returns:
            float64 [n] in the same unit; small sounds within the band keep their level.
        """
        moved = self._bend(samples.astype(np.float64))
        if self._sections is None:
            return moved
        radiated, self._state = signal.sosfilt(self._sections, moved, zi=self._state)
        return cast("NDArray[np.float64]", radiated)

    def _bend(self, samples: NDArray[np.float64]) -> NDArray[np.float64]:
        """The memoryless part: slope 1 at rest, not symmetrical, saturating, clipping."""
        if self.distortion == 0:
            return samples
        x = samples / FULL_SCALE
        drive = _DRIVE * self.distortion
        even = x + _EVEN * self.distortion * x * x
        soft = np.tanh(drive * even) / drive
        limit = 1 - _CLIP_OFF * self.distortion
        return np.clip(soft, -limit, limit) * FULL_SCALE
