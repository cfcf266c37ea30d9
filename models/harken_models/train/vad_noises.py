"""Sounds that are no speech and of which recordings are few: tunes, beeps, knocks, gusts.

Synthetic throughout; every stretch draws its own notes, instruments and times, so that a model
learns what such sounds have in common instead of the pieces at hand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harken_models.scenes.mix import RATE

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Signal = NDArray[np.float64]

__all__ = ["EXTRA_KINDS", "extra_noise"]

_SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9), (0, 3, 5, 7, 10))


def extra_noise(kind: str, count: int, rng: np.random.Generator) -> Signal:
    """A stretch of one of `EXTRA_KINDS`: float64 [count], 16 kHz, RMS 1."""
    sound = EXTRA_KINDS[kind](count, rng)
    return np.asarray(sound / max(float(np.sqrt(np.mean(sound**2))), 1e-9))


def _tune(count: int, rng: np.random.Generator) -> Signal:
    """A melody with chords, a bass and drums."""
    total = np.zeros(count)
    beat = int(RATE * rng.uniform(0.18, 0.5))
    scale = _SCALES[rng.integers(len(_SCALES))]
    root = rng.uniform(40, 80)
    parts = rng.integers(1, 5)
    for _ in range(parts):
        instrument = _instrument(rng)
        octave = 12 * int(rng.integers(-1, 3))
        rest, length = rng.uniform(0.0, 0.5), rng.choice([0.5, 1.0, 2.0, 4.0])
        step = max(int(beat * length), 800)
        for start in range(int(rng.integers(step)), count, step):
            if rng.random() >= rest:
                note = root + octave + scale[rng.integers(len(scale))]
                hz = 440 * 2 ** ((note - 69) / 12)
                _add(total, start, instrument(hz, step * rng.uniform(0.8, 1.6), rng))
    if rng.random() < 0.6:
        loud = rng.uniform(0.2, 1.0)
        for start in range(0, count, beat):
            decay = rng.choice([0.01, 0.03, 0.08]) * RATE
            _add(total, start, loud * _burst(rng, decay))
    return total


def _instrument(rng: np.random.Generator) -> Callable[[float, float, np.random.Generator], Signal]:
    """Harmonics that fall off in an own way, plucked or held, with or without vibrato."""
    strengths = rng.uniform(0.1, 1.0, 12) * np.arange(1, 13) ** -rng.uniform(0.5, 2.5)
    plucked = rng.random() < 0.5
    attack_s = rng.uniform(0.002, 0.08)
    vibrato, wobble_hz = rng.choice([0.0, 0.0, 0.006]), rng.uniform(4, 7)

    def play(hz: float, samples: float, rng: np.random.Generator) -> Signal:
        time = np.arange(int(samples)) / RATE
        wobble = vibrato * np.sin(2 * np.pi * wobble_hz * time)
        phase = 2 * np.pi * hz * np.cumsum(1 + wobble) / RATE
        orders = [n for n in range(1, 13) if n * hz < RATE * 0.45]
        sound = np.zeros(time.size)
        for order in orders:
            sound += strengths[order - 1] * np.sin(order * phase + rng.uniform(0, 6.28))
        held = np.minimum(np.minimum(time / attack_s, (time[-1] - time) / 0.03 + 0.01), 1.0)
        return np.asarray(sound * held * (np.exp(-time * 4) if plucked else 1.0))

    return play


def _beeps(count: int, rng: np.random.Generator) -> Signal:
    """An appliance that is done, a phone, an alarm: one or two tones, again and again."""
    total = 0.01 * rng.standard_normal(count)
    period = int(RATE * rng.uniform(0.15, 1.5))
    tones = rng.uniform(300, 3500, int(rng.integers(1, 3)))
    glide = rng.choice([0.0, 0.0, rng.uniform(-0.6, 0.6)])
    for number, start in enumerate(range(0, count, period)):
        time = np.arange(int(period * rng.uniform(0.3, 0.9))) / RATE
        hz = tones[number % tones.size] * (1 + glide * time / max(time[-1], 1e-3))
        _add(total, start, np.sin(2 * np.pi * np.cumsum(hz) / RATE))
    return total


def _knocks(count: int, rng: np.random.Generator) -> Signal:
    """Doors, steps, things put down: bursts of filtered noise, some ringing, at uneven times."""
    total = 0.003 * rng.standard_normal(count)
    at = 0
    while (at := at + int(rng.exponential(RATE * rng.uniform(0.1, 1.0))) + 200) < count:
        _add(total, at, rng.exponential(1.0) * _burst(rng, RATE * rng.uniform(0.004, 0.08)))
    return total


def _gusts(count: int, rng: np.random.Generator) -> Signal:
    """Wind, water, rustling: noise of changing colour and level."""
    points = max(count // int(RATE * rng.uniform(0.1, 0.8)), 2)
    curve = np.interp(np.linspace(0, points - 1, count), np.arange(points), rng.random(points))
    white = rng.standard_normal(count)
    slow = np.convolve(white, np.ones(8) / 3, "same")
    colour = rng.uniform(0, 1)
    return (colour * white + (1 - colour) * slow) * (0.05 + curve ** rng.uniform(1, 4))


def _burst(rng: np.random.Generator, decay: float) -> Signal:
    """A blow: noise and a resonance, dying away within `decay` samples or so."""
    at = np.arange(int(6 * decay))
    hiss = rng.standard_normal(at.size)
    width = int(rng.integers(1, 24))
    hiss = np.convolve(hiss, np.ones(width) / width**0.5, "same")
    ring = np.sin(2 * np.pi * rng.uniform(80, 4000) * at / RATE)
    return np.asarray((hiss + rng.uniform(0, 2) * ring) * np.exp(-at / decay), np.float64)


def _add(total: Signal, start: int, sound: Signal) -> None:
    part = sound[: max(total.size - start, 0)]
    total[start : start + part.size] += part


EXTRA_KINDS: dict[str, Callable[[int, np.random.Generator], Signal]] = {
    "tune": _tune,
    "beeps": _beeps,
    "knocks": _knocks,
    "gusts": _gusts,
}
"""Kind -> what draws a stretch of it."""
