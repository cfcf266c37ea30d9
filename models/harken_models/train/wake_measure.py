"""How well a packed wake word hears its phrase, and how often it hears it where it was not said.

Everything runs on the engine, as on the device: the mean of the newest probabilities is held
against the cut-off; after a detection the device does not listen for a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harken_models.core import Model
from harken_models.measure.wake_models import means_of_newest
from harken_models.train.wake_recipe import WINDOW
from harken_models.train.wake_scenes import END_ROW

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from harken_models.train.streaming import Rows
    from harken_models.train.wake_scenes import Scenes

    Means = NDArray[np.float64]

__all__ = [
    "CUTOFFS",
    "Stream",
    "accepts_at",
    "chosen_cutoff",
    "false_accepts",
    "heard_at",
    "stream_means",
]

CUTOFFS: Means = np.arange(50, 100) / 100
"""Cut-offs that a manifest may have."""
_REFRACTORY_STEPS = 33
_ROWS_AN_HOUR = 360_000
_SAID_ROWS = (-30, 65)


@dataclass(frozen=True)
class Stream:
    """What a model said to hours in which the phrase does not occur.

    Attributes:
        means: of the newest probabilities, 0..1, one a step.
        hours: how long.
    """

    means: Means
    hours: float


def heard_at(packed: bytes, scenes: Scenes) -> Means:
    """The cut-off up to which the phrase is heard in each scene where it was said: [n]."""
    model = Model(packed)
    found = np.zeros(len(scenes))
    for number, scene in enumerate(scenes):
        model.reset()
        means = means_of_newest(model.run(scene), WINDOW)
        ends = (np.arange(len(means)) + 1) * model.stride() - 1
        said = (ends >= END_ROW + _SAID_ROWS[0]) & (ends <= END_ROW + _SAID_ROWS[1])
        found[number] = means[said].max()
    return found


def stream_means(packed: bytes, blocks: Iterable[Rows]) -> Stream:
    """Pieces int8 [n, 40] one after another, without a reset between them."""
    model = Model(packed)
    rows, probabilities = 0, [np.zeros(0, np.uint8)]
    for block in blocks:
        rows += len(block)
        probabilities.append(model.run(block))
    return Stream(means_of_newest(np.concatenate(probabilities), WINDOW), rows / _ROWS_AN_HOUR)


def false_accepts(stream: Stream, cutoffs: Sequence[float] | Means) -> list[int]:
    """Detections at each cut-off."""
    return [len(accepts_at(stream.means, float(cutoff))) for cutoff in cutoffs]


def chosen_cutoff(stream: Stream, a_day: float = 1.0) -> float:
    """The lowest cut-off with no more false accepts a day than asked for; else the highest.

    A stream shorter than a day cannot show one a day: then none at all may occur.
    """
    allowed = a_day * stream.hours / 24
    counts = false_accepts(stream, CUTOFFS)
    good = [at for at, count in zip(CUTOFFS.tolist(), counts, strict=True) if count <= allowed]
    return float(min(good, default=CUTOFFS[-1]))


def accepts_at(means: Means, cutoff: float) -> list[int]:
    """The steps of a stream in which it would wake."""
    found: list[int] = []
    for step in np.flatnonzero(means > cutoff).tolist():
        if not found or step >= found[-1] + _REFRACTORY_STEPS:
            found.append(step)
    return found
