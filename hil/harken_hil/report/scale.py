"""Where things stand in a picture: time across, lanes down, waveforms as filled outlines."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

RATE = 16_000
WIDTH = 1160
LEFT, RIGHT = 132, 1144


@dataclass(frozen=True, slots=True)
class TimeScale:
    """Device samples to horizontal pixels.

    Attributes:
        start, end: the samples at the left and right edge.
        zero: the sample that is labelled 0.
    """

    start: int
    end: int
    zero: int = 0

    def x(self, sample: float) -> float:
        """Pixels from the picture's left edge, kept inside the lanes."""
        share = (sample - self.start) / max(1, self.end - self.start)
        return LEFT + min(1.0, max(0.0, share)) * (RIGHT - LEFT)

    def shows(self, sample: float) -> bool:
        """Whether a sample is inside the picture."""
        return self.start <= sample <= self.end

    def ticks(self, about: int = 12) -> Iterator[tuple[int, str]]:
        """Round moments for the axis: the sample and its label."""
        seconds = (self.end - self.start) / RATE
        step = _round_step(seconds / about)
        first = math.ceil((self.start - self.zero) / RATE / step - 1e-9)
        last = math.floor((self.end - self.zero) / RATE / step + 1e-9)
        for count in range(first, last + 1):
            at = count * step
            label = f"{at * 1000:.0f} ms" if step < 0.5 else f"{at:g} s"
            yield self.zero + round(at * RATE), label


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(max(rough, 1e-3)))
    return next(power * lead for lead in (1, 2, 5, 10) if power * lead >= rough * 0.999)


def outline(samples: NDArray[np.int16], scale: TimeScale, top: float, height: float) -> str:
    """A waveform as the data of an SVG path: the least and greatest sample of each pixel.

    Args:
        samples: int16 [n], from device sample 0.
        scale: which part is shown.
        top: of the lane, pixels.
        height: of the lane, pixels; the loudest sample shown fills nine tenths of it.
    """
    columns = RIGHT - LEFT
    edges = np.linspace(scale.start, scale.end, columns + 1).astype(int)
    shown = samples[max(0, scale.start) : max(0, scale.end)].astype(np.float64)
    if len(shown) == 0:
        return f"M{LEFT},{top + height / 2:.1f}H{RIGHT}"
    factor = 0.45 * height / max(300.0, float(np.abs(shown).max()))
    middle = top + height / 2
    upper: list[str] = []
    lower: list[str] = []
    for column in range(columns):
        piece = samples[max(0, edges[column]) : max(0, edges[column + 1])]
        high, low = (float(piece.max()), float(piece.min())) if len(piece) else (0.0, 0.0)
        upper.append(f"{LEFT + column},{middle - high * factor - 0.4:.1f}")
        lower.append(f"{LEFT + column},{middle - low * factor + 0.4:.1f}")
    return "M" + "L".join(upper) + "L" + "L".join(reversed(lower)) + "Z"


def peak_dbfs(samples: NDArray[np.int16]) -> float:
    """Level of the loudest sample in dB of full scale, not below -96."""
    peak = float(np.abs(samples.astype(np.float64)).max()) if len(samples) else 0.0
    return max(-96.0, 20 * math.log10(max(peak, 1e-9) / 32_768))
