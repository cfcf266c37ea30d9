"""The noise of a room in which nothing happens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from scipy import signal as _signal  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATE = 16_000
FULL_SCALE = 32_768
_HUM_HZ = (100, 200, 300)

Colour = Literal["white", "pink", "fan", "hum"]
"""white: a microphone's own; pink: a street, far away; fan: a computer; hum: a transformer."""

signal = cast("Any", _signal)


class Background:
    """Steady noise, block after block.

    Args:
        dbfs: its RMS level.
        colour: its kind.
        seed: the same seed gives the same samples.
    """

    def __init__(self, dbfs: float, colour: Colour = "white", seed: int = 1) -> None:
        self._rms = 10 ** (dbfs / 20) * FULL_SCALE
        self._colour: Colour = colour
        self._random = np.random.default_rng(seed)
        self._position = 0
        numerator, denominator = _filter(colour)
        self._numerator, self._denominator = numerator, denominator
        self._state = np.zeros(max(len(numerator), len(denominator)) - 1)
        impulse = np.zeros(RATE)
        impulse[0] = 1
        response = signal.lfilter(numerator, denominator, impulse)
        self._scale = 1 / float(np.sqrt(np.sum(response**2)))
        # Begun in silence, a filter of low tones would take a while to sound.
        self.block(RATE // 4)

    def block(self, n: int) -> NDArray[np.float64]:
        """The next `n` samples: float64 [n], int16 units."""
        white = self._random.standard_normal(n)
        shaped, self._state = signal.lfilter(
            self._numerator, self._denominator, white * self._scale, zi=self._state
        )
        if self._colour == "hum":
            time = (self._position + np.arange(n)) / RATE
            tones = sum(np.sin(2 * np.pi * hz * time) / hz for hz in _HUM_HZ)
            power = sum(0.5 / hz**2 for hz in _HUM_HZ)
            shaped = 0.2 * shaped + np.sqrt(0.96 / power) * tones
        self._position += n
        return cast("NDArray[np.float64]", shaped * self._rms)


def _filter(colour: Colour) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Numerator and denominator that turn white noise into that colour."""
    if colour == "pink":
        # 3 dB an octave, by poles and zeros at equal distances on a logarithmic axis.
        corners = 30 * 4.0 ** np.arange(4)
        poles = np.exp(-2 * np.pi * corners / RATE)
        zeros = np.exp(-2 * np.pi * corners * 2 / RATE)
        return np.poly(zeros).astype(np.float64), np.poly(poles).astype(np.float64)
    if colour == "fan":
        numerator, denominator = signal.butter(1, [120, 900], "bandpass", fs=RATE)
        return numerator, denominator
    return np.ones(1), np.ones(1)
