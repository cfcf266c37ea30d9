"""`harken bench echo`: our echo canceller beside WebRTC's AEC3 and SpeexDSP's.

Every canceller takes the same scenes from a fresh start (`harken_models.measure.echo_matrix`):
human talkers and music, never the same person on both sides, in simulated rooms. Ours is judged
with its noise suppression and gain off, as the rivals are; with everything on it is shown beside.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from harken_hil.bench.measure import (
    MIN_ROUNDS,
    BenchOptions,
    BenchResult,
    Figure,
    Goal,
    Setting,
    counted,
    figure,
    interleave,
)
from harken_models.core import HOP, Cleaner
from harken_models.measure.cancellers import Aec3, Harken, Speex, Unprocessed
from harken_models.measure.echo_matrix import EchoCase, cases, hear
from harken_models.measure.echo_scores import score_echo
from harken_models.measure.needs import ECHO, WORDS
from harken_models.measure.pool import spread
from harken_models.train.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from harken_models.measure.cancellers import Canceller

    Row = Mapping[str, Any]

__all__ = ["QUICK", "ROUNDS", "SETTINGS", "run"]

QUICK: Final = True
ROUNDS: Final = MIN_ROUNDS
SETTINGS: Final[dict[str, Setting]] = {
    "scenes": Setting("scenes in all; 0: 72, or 8 of a quick run", 0, 0, 1_000),
    "listened": Setting(
        "scenes whose words are counted; -1: 24, or 0 of a quick run", -1, -1, 1_000
    ),
}

_OURS, _OURS_LINEAR, _OURS_ALL = "harken", "harken, linear", "harken, everything"
_AEC3, _SPEEX = "WebRTC AEC3", "SpeexDSP"
_SPEEX_LINEAR, _SPEEX_SHORT = "SpeexDSP without suppressor", "SpeexDSP, 120 ms"
_SHORT_TAPS: Final = 1_920
"""What our filter reaches over once it knows the delay. SpeexDSP knows none: delays beyond stay."""
_FLOOR, _PERFECT = "unprocessed", "perfect"
_CPU_CASE: Final = 2
_HARDLY_RINGS_S: Final = 0.3


@dataclass(frozen=True, slots=True)
class _Task:
    """One scene, and whether its words are counted."""

    case: EchoCase
    listen: bool
    quick: bool


def run(options: BenchOptions) -> BenchResult:
    """Echo left, harm to the near talker, words misheard, and CPU.

    Raises:
        StartError: a rival, a corpus or a metric is not installed.
    """
    count = int(options.settings.get("scenes", 0)) or (8 if options.quick else 72)
    asked = int(options.settings.get("listened", -1))
    listened = (0 if options.quick else 24) if asked < 0 else asked
    ECHO.check("`harken bench echo`")
    if listened:
        WORDS.check("counting misheard words")
    tasks = [_Task(case, at < listened, options.quick) for at, case in enumerate(cases(count))]
    progress = Progress(quiet=options.silent)
    with progress.showing(f"{count} scenes") as report:
        rows = [row for rows in spread(_rows, tasks, report) for row in rows]
    with progress.showing("CPU") as report:
        cpu = _cpu_figures(options.rounds)
    return BenchResult("echo", (*_figures(rows), *cpu), {"scenes": rows})


def _rows(task: _Task) -> list[dict[str, Any]]:
    """All cancellers in one scene."""
    scene = hear(task.case)
    about = scene.row()
    rows: list[dict[str, Any]] = []
    for canceller in _cancellers(quick=task.quick):
        out = canceller.run(scene.sound.mic, scene.sound.reference)[canceller.latency :]
        score = score_echo(scene, out, listen=task.listen)
        rows.append(about | {"canceller": canceller.name} | asdict(score))
    perfect = score_echo(scene, scene.perfect(), listen=task.listen)
    rows.append(about | {"canceller": _PERFECT} | asdict(perfect))
    return rows


@lru_cache(maxsize=2)
def _cancellers(*, quick: bool) -> tuple[Canceller, ...]:
    judged: tuple[Canceller, ...] = (Unprocessed(), Harken(), Aec3(), Speex())
    if quick:
        return judged
    return (
        *judged,
        Harken(Cleaner.HIGHPASS | Cleaner.ECHO, linear=True, name=_OURS_LINEAR),
        Harken(Cleaner.ALL, name=_OURS_ALL),
        Aec3(everything=True),
        Speex(suppress=False, name=_SPEEX_LINEAR),
        _short_speex(),
    )


def _short_speex() -> Speex:
    return Speex(taps=_SHORT_TAPS, name=_SPEEX_SHORT)


def _figures(rows: Sequence[Row]) -> list[Figure]:
    """The lines, with every canceller's figure in their detail."""
    erle = _means(rows, "converged_db")
    slices = {
        f"ERLE by {key}": _sliced(rows, key, "converged_db")
        for key in ("delay_ms", "distortion", "echo_to_near_db", "skew_ppm")
    }
    return [
        _line(
            "ERLE once converged, far end alone",
            "dB",
            erle,
            Goal("ratio", ">=", 1.0),
            detail={"from the first second": _means(rows, "erle_db")} | slices,
        ),
        _line(
            "AECMOS echo, both talking",
            "MOS",
            _means(rows, "both_echo"),
            Goal("figure", ">=", 4.4),
            detail={"far end alone": _means(rows, "far_echo")} | _rooms(rows, "both_echo"),
        ),
        _line(
            "AECMOS other degradation, both talking",
            "MOS",
            _means(rows, "both_other"),
            Goal("figure", ">=", 4.2),
            detail={"near talker alone": _means(rows, "near_other")} | _rooms(rows, "both_other"),
        ),
        *_word_line(rows),
    ]


def _line(
    name: str,
    unit: str,
    by_canceller: Mapping[str, float],
    goal: Goal,
    detail: Mapping[str, Any] | None = None,
) -> Figure:
    return counted(
        name,
        unit,
        goal,
        by_canceller[_OURS],
        rival=(_AEC3, by_canceller[_AEC3]),
        floor=(_FLOOR, by_canceller[_FLOOR]),
        detail={"by": by_canceller} | dict(detail or {}),
    )


def _word_line(rows: Sequence[Row]) -> list[Figure]:
    heard = [row for row in rows if row["words"]]
    if not heard:
        return []
    names = dict.fromkeys(row["canceller"] for row in heard)
    rates = {
        name: sum(row["wrong"] for row in heard if row["canceller"] == name)
        / sum(row["words"] for row in heard if row["canceller"] == name)
        for name in names
    }
    words = sum(row["words"] for row in heard if row["canceller"] == _OURS)
    detail = {"words": words, "recogniser": "whisper-tiny"}
    return [
        _line(
            "words misheard, both talking",
            "of words said",
            rates,
            Goal("ratio", "<=", 1.0),
            detail=detail,
        )
    ]


def _means(rows: Sequence[Row], key: str) -> dict[str, float]:
    """Mean over all scenes, by canceller."""
    names = dict.fromkeys(row["canceller"] for row in rows)
    return {
        name: round(statistics.fmean(row[key] for row in rows if row["canceller"] == name), 3)
        for name in names
    }


def _rooms(rows: Sequence[Row], key: str) -> dict[str, dict[str, float]]:
    """The means in rooms that hardly ring, and in the others."""
    dry = [row for row in rows if row["rt60_s"] <= _HARDLY_RINGS_S]
    others = [row for row in rows if row["rt60_s"] > _HARDLY_RINGS_S]
    named = ((f"reverberation up to {_HARDLY_RINGS_S} s", dry), ("more reverberation", others))
    return {name: _means(some, key) for name, some in named if some}


def _sliced(rows: Sequence[Row], by: str, key: str) -> dict[str, dict[str, float]]:
    """The means of the scenes that share a value."""
    values = sorted({row[by] for row in rows})
    return {str(value): _means([row for row in rows if row[by] == value], key) for value in values}


def _cpu_figures(rounds: int) -> list[Figure]:
    """CPU of one hop: canceller and suppressor on both sides, and everything on."""
    scene = hear(cases(_CPU_CASE + 1)[_CPU_CASE])
    floor = Speex(suppress=False)

    def timed(canceller: Canceller) -> Callable[[], float]:
        def once() -> float:
            start = time.process_time()
            canceller.run(scene.sound.mic, scene.sound.reference)
            return (time.process_time() - start) / (len(scene.sound.mic) // HOP) * 1e6

        return once

    aec3 = statistics.median(timed(Aec3())() for _ in range(3))
    both = interleave(ours=timed(Harken()), rival=timed(Speex()), floor=timed(floor), rounds=rounds)
    short = interleave(ours=timed(Harken()), rival=timed(_short_speex()), rounds=rounds)
    whole = interleave(ours=timed(Harken(Cleaner.ALL)), rival=timed(Speex()), rounds=rounds)
    detail = {
        _AEC3: aec3,
        # The goal is held against the shorter of the two filters that reach every scene's echo.
        "taps of SpeexDSP": 4_096,
        _SPEEX_SHORT: statistics.median(short.rival),
        f"ratio to {_SPEEX_SHORT}, which misses longer delays": short.ratio(),
    }
    return [
        figure(
            "a 10 ms hop, canceller and suppressor",
            "us CPU",
            both,
            Goal("ratio", "<=", 1.0),
            rival_name=_SPEEX,
            floor_name=_SPEEX_LINEAR,
            detail=detail,
        ),
        figure(
            "a 10 ms hop, with noise suppression and gain as well",
            "us CPU",
            whole,
            Goal("ratio", "<=", 1.0),
            rival_name=_SPEEX,
            detail=detail,
        ),
    ]
