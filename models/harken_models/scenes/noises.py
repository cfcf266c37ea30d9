"""Synthetic noise: coloured, and like what runs in a home.

Every stretch draws its own pitch, speed and colour, so that no model can learn one machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from harken.errors import ConfigError, printable
from harken_models.scenes.decoded import RATE

if TYPE_CHECKING:
    from collections.abc import Callable

    from harken_models.scenes.decoded import Samples

    Signal = np.ndarray[tuple[int], np.dtype[np.float64]]

__all__ = ["KINDS", "noise_of"]

_PEAK: Final = 16_384


def noise_of(kind: str, count: int, rng: np.random.Generator) -> Samples:
    """A stretch of one kind.

    Args:
        kind: one of `KINDS`.
        count: samples.
        rng: draws the stretch.

    Returns:
        int16 [count], 16 kHz, peaking at half of full scale.

    Raises:
        ConfigError: there is no such kind.
    """
    if kind not in KINDS:
        raise ConfigError(
            f"there is no noise {printable(kind, 40)!r}", hint=f"there are {', '.join(KINDS)}"
        )
    sound = KINDS[kind](count, rng)
    loudest = max(float(np.abs(sound).max(initial=0.0)), 1e-9)
    scaled: Samples = (sound * (_PEAK / loudest)).astype(np.int16)
    return scaled


def _coloured(count: int, rng: np.random.Generator, exponent: float, low_hz: float = 30) -> Signal:
    """Gaussian noise whose power falls with the frequency to `exponent`."""
    size = 1 << max(count - 1, 1).bit_length()
    spectrum = np.fft.rfft(rng.standard_normal(size))
    frequency = np.maximum(np.fft.rfftfreq(size, 1 / RATE), low_hz)
    sound: Signal = np.fft.irfft(spectrum * frequency ** (-exponent / 2), size)[:count]
    return sound / max(float(np.sqrt(np.mean(sound**2))), 1e-12)


def _wandering(count: int, rng: np.random.Generator, hz: float, depth: float) -> Signal:
    """A slow curve around 1, changing about `hz` times a second."""
    points = max(int(count / RATE * hz) + 2, 2)
    curve: Signal = np.interp(
        np.linspace(0, points - 1, count), np.arange(points), rng.standard_normal(points)
    )
    return np.exp(depth * curve)


def _harmonics(count: int, rng: np.random.Generator, base_hz: float, fall: float) -> Signal:
    """A motor: harmonics of one pitch that wavers a little."""
    pitch = base_hz * _wandering(count, rng, 2.0, 0.01)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    total = np.zeros(count)
    for order in range(1, max(2, int(7_000 / base_hz))):
        strength = rng.uniform(0.2, 1.0) * order**-fall
        total += strength * np.sin(order * phase + rng.uniform(0, 2 * np.pi))
    return total


def _white(count: int, rng: np.random.Generator) -> Signal:
    return rng.standard_normal(count)


def _pink(count: int, rng: np.random.Generator) -> Signal:
    return _coloured(count, rng, 1.0)


def _brown(count: int, rng: np.random.Generator) -> Signal:
    return _coloured(count, rng, 2.0)


def _hum(count: int, rng: np.random.Generator) -> Signal:
    """Mains hum of a bad power supply, over hiss."""
    mains = float(rng.choice([50.0, 60.0]))
    return _harmonics(count, rng, mains, 1.2) + rng.uniform(0.05, 0.3) * _coloured(count, rng, 0.5)


def _fan(count: int, rng: np.random.Generator) -> Signal:
    """Air that blades beat."""
    blades = rng.uniform(20, 120)
    air = _coloured(count, rng, rng.uniform(0.8, 1.6))
    phase = 2 * np.pi * np.cumsum(blades * _wandering(count, rng, 1.0, 0.02)) / RATE
    return air * (1 + 0.3 * np.sin(phase)) + 0.15 * _harmonics(count, rng, blades, 1.0)


def _vacuum(count: int, rng: np.random.Generator) -> Signal:
    """A fast motor and rushing air, pushed to and fro."""
    motor = _harmonics(count, rng, rng.uniform(180, 420), 0.7)
    return (0.6 * motor + 1.5 * _coloured(count, rng, 0.3)) * _wandering(count, rng, 0.7, 0.25)


def _traffic(count: int, rng: np.random.Generator) -> Signal:
    """Cars that come and go."""
    far = _coloured(count, rng, 1.8)
    near = _coloured(count, rng, 1.2) * _wandering(count, rng, 0.4, 1.0)
    return far + 0.7 * near


def _typing(count: int, rng: np.random.Generator) -> Signal:
    """Keys and dishes: short resonances at uneven times, over a quiet room."""
    total = 0.01 * _coloured(count, rng, 1.0)
    at = 0
    while (at := at + int(rng.exponential(RATE * 0.16))) < count:
        length = int(RATE * rng.uniform(0.02, 0.12))
        time = np.arange(min(length, count - at)) / RATE
        decay = np.exp(-time * rng.uniform(40, 200))
        ring = np.sin(2 * np.pi * rng.uniform(600, 5_000) * time)
        total[at : at + len(time)] += (
            rng.uniform(0.2, 1.0) * decay * (ring + rng.standard_normal(len(time)))
        )
    return total


KINDS: Final[dict[str, Callable[[int, np.random.Generator], Signal]]] = {
    "white": _white,
    "pink": _pink,
    "brown": _brown,
    "hum": _hum,
    "fan": _fan,
    "vacuum": _vacuum,
    "traffic": _traffic,
    "typing": _typing,
}
"""Kind -> what draws a stretch of it."""
