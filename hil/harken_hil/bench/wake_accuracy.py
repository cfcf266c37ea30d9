"""`harken bench wake-accuracy`: how often wake words are heard, and heard where nobody said them.

Every model, ours and the published microWakeWord ones, runs on our engine and in pymicro-wakeword,
over the same hours of human speech and music and the same voices (synthetic: there are no human
recordings of wake phrases to be had), see `harken_models.measure.wake_streams`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from harken_hil.bench.measure import (
    MIN_ROUNDS,
    BenchOptions,
    BenchResult,
    Figure,
    Goal,
    Setting,
    counted,
)
from harken_models.measure.needs import WAKE
from harken_models.measure.wake_models import published, shipped
from harken_models.measure.wake_scores import measure_wake
from harken_models.measure.wake_streams import SURROUNDINGS
from harken_models.train.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harken_models.measure.wake_scores import WakeAccuracy

__all__ = ["QUICK", "ROUNDS", "SETTINGS", "run"]

QUICK: Final = True
# It comes out the same every time.
ROUNDS: Final = MIN_ROUNDS
SETTINGS: Final[dict[str, Setting]] = {}

_OURS, _RIVAL = "harken", "pymicro-wakeword"
_MOST_MISSED: Final = 0.02


def run(options: BenchOptions) -> BenchResult:
    """Misses and false accepts of every model on both engines.

    Raises:
        StartError: voices, corpora or the other engine are not installed.
        ModelMissingError: a published model is not in the model store.
    """
    WAKE.check("`harken bench wake-accuracy`")
    own = shipped()
    found = measure_wake([*own, *published()], Progress(quiet=options.silent), quick=options.quick)
    ours, theirs = found[: len(own)], found[len(own) :]
    figures: list[Figure] = []
    for accuracy in ours:
        figures += _own_lines(accuracy, theirs)
    for accuracy in theirs:
        figures += _engine_lines(accuracy)
    data = {
        accuracy.model.name: {
            "phrase": accuracy.model.phrase,
            "cutoff": accuracy.model.cutoff,
            "hours": accuracy.hours,
            "curve": accuracy.curve(_OURS),
            "voices": accuracy.recall_by_voice(_OURS),
            "surroundings": _by_surroundings(accuracy),
        }
        for accuracy in found
    }
    return BenchResult("wake-accuracy", tuple(figures), {"models": data})


def _own_lines(accuracy: WakeAccuracy, others: Sequence[WakeAccuracy]) -> list[Figure]:
    """A word of ours against the goal, and against the best published word."""
    missed = 1 - accuracy.recall(_OURS, natural=True)
    best = min(others, key=lambda other: 1 - other.recall(_RIVAL, natural=True))
    name = accuracy.model.name
    return [
        counted(
            f"{name}: phrases missed, natural voices",
            "of all",
            Goal("figure", "<=", _MOST_MISSED),
            missed,
            rival=(f"{best.model.name}, the best published", 1 - best.recall(_RIVAL, natural=True)),
            detail=_detail(accuracy),
        ),
        # As many as a day allows of the hours there are: none of fewer than a day.
        _false_line(accuracy, Goal("figure", "<=", float(int(accuracy.hours / 24)))),
    ]


def _engine_lines(accuracy: WakeAccuracy) -> list[Figure]:
    """A published word: our engine may be no worse than theirs."""
    name = accuracy.model.name
    return [
        counted(
            f"{name}: phrases missed, natural voices",
            "of all",
            Goal("difference", "<=", 0.0),
            1 - accuracy.recall(_OURS, natural=True),
            rival=(_RIVAL, 1 - accuracy.recall(_RIVAL, natural=True)),
            detail=_detail(accuracy),
        ),
        _false_line(accuracy, Goal("difference", "<=", 0.0)),
    ]


def _false_line(accuracy: WakeAccuracy, goal: Goal) -> Figure:
    hours = accuracy.hours
    return counted(
        f"{accuracy.model.name}: false accepts in {hours:.1f} hours",
        "times",
        goal,
        accuracy.false_accepts(_OURS),
        rival=(_RIVAL, accuracy.false_accepts(_RIVAL)),
        detail={"hours": round(hours, 2), "speech": "human", "talkers": "of the test split"},
    )


def _detail(accuracy: WakeAccuracy) -> dict[str, Any]:
    return {
        "phrases": len(accuracy.said),
        "speech": "synthetic, voices held out of training",
        "by": _by_surroundings(accuracy),
        "missed, formant voices": round(1 - accuracy.recall(_OURS, natural=False), 4),
        "recall by voice": accuracy.recall_by_voice(_OURS),
    }


def _by_surroundings(accuracy: WakeAccuracy) -> Mapping[str, float]:
    """What our engine missed of the natural voices, in each surrounding."""
    return {
        surroundings: round(1 - accuracy.recall(_OURS, None, surroundings, natural=True), 4)
        for surroundings in SURROUNDINGS
    }
