"""Scenes to train and judge a wake word on, as rows of features.

A *placed* clip (the phrase, or something that sounds like it) ends at a known row of a stretch of
three seconds; a *block* is half a minute in which the phrase does not occur.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from scipy import signal as _signal  # type: ignore[import-untyped]

from harken_models.core import FEATURES, HOP, Features
from harken_models.train.surroundings import RATE, Surroundings

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from numpy.typing import NDArray

    from harken_models.train.progress import Report
    from harken_models.train.speaking import Samples
    from harken_models.train.voices import Part

    Sound = NDArray[np.float64]
    Scenes = np.ndarray[tuple[int, int, int], np.dtype[np.int8]]

__all__ = ["BLOCK_ROWS", "END_ROW", "PLACED_ROWS", "Plan", "blocks", "kind_of_block", "placed"]

PLACED_ROWS = 310
END_ROW = 240
"""The row with whose last sample a placed clip ends."""
BLOCK_ROWS = 2998
"""Rows of half a minute; the first needs three hops."""
_FILL_ROWS = 2
_MANY = 200
"""Scenes from which on starting processes is worth its time."""
_TURN = (
    "speech", "speech", "sentences", "speech", "sentences",
    "music", "speech", "sentences", "speech", "quiet",
)  # fmt: skip
_RATES = (0.84, 0.88, 0.92, 0.96, 1.0, 1.0, 1.04, 1.08, 1.13, 1.18)

filters = cast("Any", _signal)


@dataclass(frozen=True)
class Plan:
    """Where scenes are made from.

    Attributes:
        surroundings: folder of `surroundings.gather`.
        part: whose.
        seed: scene n is the same for the same seed, whoever makes it.
    """

    surroundings: str
    part: Part
    seed: int


def placed(plan: Plan, clips: Sequence[Samples], times: int, report: Report) -> Scenes:
    """Each clip in `times` scenes: int8 [times * clips, PLACED_ROWS, 40], clip by clip in turn."""
    jobs = [(plan, number, clips[number % len(clips)]) for number in range(times * len(clips))]
    return _gathered(_one_placed, jobs, PLACED_ROWS, report)


def blocks(plan: Plan, count: int, report: Report) -> Scenes:
    """Half minutes without the phrase: int8 [count, BLOCK_ROWS, 40].

    Half of them are people's speech, three in ten synthetic sentences, the others music, and
    noise or near silence alone.
    """
    return _gathered(_one_block, [(plan, number) for number in range(count)], BLOCK_ROWS, report)


def kind_of_block(number: int) -> str:
    """What is in block `number`: in turn, so that a few blocks have some of each."""
    return _TURN[number % len(_TURN)]


def _gathered(
    make: Callable[[Any], Scenes], jobs: Sequence[Any], rows: int, report: Report
) -> Scenes:
    """All scenes, made by as many processes as there are cores, if there are many."""
    result = np.empty((len(jobs), rows, FEATURES), np.int8)
    with _processes(make, jobs) as made:
        for number, scene in enumerate(made):
            result[number] = scene
            if number % 50 == 49 or number == len(jobs) - 1:
                report(number + 1, len(jobs), "scenes")
    return result


@contextmanager
def _processes(make: Callable[[Any], Scenes], jobs: Sequence[Any]) -> Generator[Iterator[Scenes]]:
    """The results of `make`, in order; whatever stops the caller stops the processes."""
    if len(jobs) < _MANY:
        yield map(make, jobs)
        return
    # Not forked: a process that has started TensorFlow's threads cannot be.
    context = multiprocessing.get_context("spawn")
    workers = min(os.cpu_count() or 1, 8)
    # Ctrl-C reaches them as well; the caller's word is enough.
    ignore = (signal.SIGINT, signal.SIG_IGN)
    pool = ProcessPoolExecutor(workers, context, signal.signal, ignore)
    try:
        yield pool.map(make, jobs, chunksize=8)
    finally:
        pool.shutdown(cancel_futures=True)


@cache
def _surroundings(folder: str, part: Part) -> Surroundings:
    return Surroundings.read(Path(folder), part)


def _one_placed(job: tuple[Plan, int, Samples]) -> Scenes:
    plan, number, clip = job
    rng = np.random.default_rng([plan.seed, 1, number])
    around = _surroundings(plan.surroundings, plan.part)
    dry = at_rate(clip.astype(np.float64), _RATES[int(rng.integers(len(_RATES)))])
    scene = np.zeros((PLACED_ROWS + _FILL_ROWS) * HOP)
    end = (END_ROW + 1 + _FILL_ROWS) * HOP
    start = max(end - len(dry), 0)
    scene[start:end] = dry[-(end - start) :]
    _talk_around(scene, start, end, around, rng)
    samples = around.heard(around.in_room(scene, rng), rng)
    return cast("Scenes", Features().run(samples))


def at_rate(samples: Sound, rate: float) -> Sound:
    """Played `rate` times as fast: shorter and higher, as a smaller person would speak."""
    if rate == 1.0:
        return samples
    played: Sound = filters.resample_poly(samples, 50, round(50 * rate))
    return played


def _talk_around(
    scene: Sound, start: int, end: int, around: Surroundings, rng: np.random.Generator
) -> None:
    """Now and then somebody has just talked, or goes on talking, as loud as the clip about."""
    own = float(np.sqrt(np.mean(scene[start:end] ** 2)))
    gaps = [round(RATE * rng.uniform(0.02, 0.5)) for _ in range(2)]
    for first, last, chance in (
        (0, start - gaps[0], 0.3),
        (end + gaps[1], len(scene), 0.45),
    ):
        if rng.random() > chance or last - first < RATE // 10:
            continue
        talk = around.talk(last - first, rng)
        rms = float(np.sqrt(np.mean(talk**2)))
        if rms > 1:
            scene[first:last] += talk * (own / rms * 10 ** (rng.uniform(-10, 3) / 20))


def _one_block(job: tuple[Plan, int]) -> Scenes:
    plan, number = job
    rng = np.random.default_rng([plan.seed, 2, number])
    around = _surroundings(plan.surroundings, plan.part)
    count = (BLOCK_ROWS + _FILL_ROWS) * HOP
    kind = kind_of_block(number)
    sources = {"speech": around.speech, "sentences": around.sentences, "music": around.music}
    dry = np.zeros(count)
    if kind in sources:
        rate = _RATES[int(rng.integers(len(_RATES)))]
        source = sources[kind]
        # In order, so that many blocks have heard all of it.
        begin = number * count % len(source)
        taken = np.take(source, np.arange(begin, begin + round(count * rate) + 50), mode="wrap")
        dry = at_rate(taken.astype(np.float64), rate)[:count]
    samples = around.heard(around.in_room(dry, rng), rng)
    return cast("Scenes", Features().run(samples))
