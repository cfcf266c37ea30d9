"""Sounds to clean, and what is measured of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from harken_models.core import Cleaner

from .conftest import RATE

if TYPE_CHECKING:
    from .conftest import Samples

FULL = 32767


def clipped(samples: np.ndarray[Any, Any]) -> Samples:
    return np.clip(np.round(samples), -FULL - 1, FULL).astype(np.int16)


def noise(seconds: float, level: float, seed: int = 3) -> Samples:
    return clipped(np.random.default_rng(seed).normal(0, level, int(seconds * RATE)))


def tone(seconds: float, hertz: float, level: float) -> Samples:
    return clipped(level * np.sin(2 * np.pi * hertz / RATE * np.arange(int(seconds * RATE))))


def cleaned(mic: Samples, parts: int, reference: Samples | None = None) -> Samples:
    cleaner = Cleaner()
    cleaner.switch(parts)
    return cleaner.run(mic, reference)[0]


def amplitude(db: float) -> float:
    return 32768 * 10 ** (db / 20)


def power_db(samples: Samples) -> float:
    return float(10 * np.log10(np.mean(samples.astype(np.float64) ** 2)))
