"""Recall and false accepts of wake words on the same phrases and the same hours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from harken_models.measure.pool import spread
from harken_models.measure.wake_models import WakeModel, detections, ours, pymicro
from harken_models.measure.wake_streams import (
    BLOCK_S,
    SURROUNDINGS,
    BlockCase,
    Phrase,
    blocks,
    hear_block,
    hear_phrase,
    phrases,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harken_models.measure.wake_models import Means
    from harken_models.train.progress import Progress

__all__ = ["CUTOFFS", "ENGINES", "Said", "WakeAccuracy", "measure_wake"]

ENGINES: Final = {"harken": ours, "pymicro-wakeword": pymicro}
"""Engine -> what it makes of samples."""
_CLEANED: Final = frozenset(SURROUNDINGS[:-1])
CUTOFFS: Final[Means] = np.arange(2, 100) / 100


@dataclass(frozen=True, slots=True)
class Said:
    """One phrase in one surrounding.

    Attributes:
        voice: who said it.
        natural: the voice was made from a person's recordings.
        surroundings: what it was heard in.
        best: the highest mean probability while and after it was said, by engine.
    """

    voice: str
    natural: bool
    surroundings: str
    best: dict[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class WakeAccuracy:
    """A model on both engines.

    Attributes:
        model: what was measured.
        said: every phrase in every surrounding.
        means: what each engine said to the hours without the phrase, five minutes each.
        contents: what those five minutes hold.
    """

    model: WakeModel
    said: tuple[Said, ...]
    means: dict[str, tuple[Means, ...]]
    contents: tuple[str, ...]

    @property
    def hours(self) -> float:
        """Without the phrase."""
        return len(self.contents) * BLOCK_S / 3_600

    def recall(
        self,
        engine: str,
        cutoff: float | None = None,
        surroundings: str | None = None,
        *,
        natural: bool | None = None,
    ) -> float:
        """Share of the phrases that were heard.

        Args:
            engine: of `ENGINES`.
            cutoff: the manifest's unless given.
            surroundings: one of them; all that are cleaned unless given.
            natural: by voices made from people's recordings, by all others; by all unless given.
        """
        limit = self.model.cutoff if cutoff is None else cutoff
        chosen = [
            one.best[engine] > limit
            for one in self.said
            if (natural is None or one.natural == natural)
            and one.surroundings in ({surroundings} if surroundings else _CLEANED)
        ]
        return float(np.mean(chosen))

    def recall_by_voice(self, engine: str) -> dict[str, float]:
        """At the manifest's cut-off, over all surroundings that are cleaned."""
        found: dict[str, list[bool]] = {}
        for one in self.said:
            if one.surroundings in _CLEANED:
                found.setdefault(one.voice, []).append(one.best[engine] > self.model.cutoff)
        return {voice: round(float(np.mean(heard)), 4) for voice, heard in found.items()}

    def false_accepts(self, engine: str, cutoff: float | None = None) -> int:
        """Detections in all hours without the phrase, at the manifest's cut-off unless given."""
        limit = self.model.cutoff if cutoff is None else cutoff
        return sum(detections(means, limit) for means in self.means[engine])

    def curve(self, engine: str) -> dict[str, list[float]]:
        """Recall of natural voices and false accepts an hour, at each of `CUTOFFS`."""
        return {
            "cutoff": CUTOFFS.tolist(),
            "recall": [
                round(self.recall(engine, float(cutoff), natural=True), 4) for cutoff in CUTOFFS
            ],
            "false accepts an hour": [
                round(self.false_accepts(engine, float(cutoff)) / self.hours, 4)
                for cutoff in CUTOFFS
            ],
        }


def measure_wake(
    models: Sequence[WakeModel],
    progress: Progress,
    engines: Sequence[str] = tuple(ENGINES),
    *,
    quick: bool = False,
) -> list[WakeAccuracy]:
    """Measure models on the same hours, and each on its own phrase by the same voices.

    Args:
        models: with their manifests.
        progress: shows how far it is.
        engines: of `ENGINES`.
        quick: few phrases, a quarter of an hour.

    Raises:
        StartError: voices, corpora or the other engine are not installed.
    """
    with progress.showing("phrases") as report:
        said = [(model, phrases(model.phrase, report, quick=quick)) for model in models]
    wanted = [(model, phrase, tuple(engines)) for model, each in said for phrase in each]
    with progress.showing(f"{len(wanted) * len(SURROUNDINGS)} phrases heard") as report:
        heard = spread(_score_phrase, wanted, report)
    listened = blocks(quick=quick)
    tasks = [(case, tuple(models), tuple(engines)) for case in listened]
    hours = len(listened) * BLOCK_S / 3_600
    with progress.showing(f"{hours:.1f} hours without the phrases") as report:
        means = spread(_score_block, tasks, report)
    return [
        WakeAccuracy(
            model,
            tuple(
                one for (of, _, _), ones in zip(wanted, heard, strict=True) if of is model
                for one in ones
            ),
            {engine: tuple(block[model.name, engine] for block in means) for engine in engines},
            tuple(case.content for case in listened),
        )
        for model in models
    ]  # fmt: skip


def _score_phrase(task: tuple[WakeModel, Phrase, tuple[str, ...]]) -> list[Said]:
    model, phrase, engines = task
    found: list[Said] = []
    for surroundings in SURROUNDINGS:
        samples = hear_phrase(phrase, surroundings)
        best = {
            engine: float(model.means(ENGINES[engine](model, samples)).max()) for engine in engines
        }
        found.append(Said(phrase.voice, phrase.natural, surroundings, best))
    return found


def _score_block(
    task: tuple[BlockCase, tuple[WakeModel, ...], tuple[str, ...]],
) -> dict[tuple[str, str], Any]:
    case, models, engines = task
    samples = hear_block(case)
    return {
        (model.name, engine): model.means(ENGINES[engine](model, samples))
        for model in models
        for engine in engines
    }
