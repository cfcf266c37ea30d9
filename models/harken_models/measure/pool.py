"""The same work on many cases, spread over the processor's cores, in order."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harken_models.train.progress import Report

__all__ = ["spread"]

Case = TypeVar("Case")
Found = TypeVar("Found")

_MOST_PROCESSES = 4


def spread(work: Callable[[Case], Found], cases: Sequence[Case], report: Report) -> list[Found]:
    """What `work` makes of every case, in the order of the cases.

    Args:
        work: a function of a module; runs in other processes.
        cases: what it is given.
        report: called as cases are done.

    Raises:
        Exception: what `work` raised first.
    """
    workers = min(len(os.sched_getaffinity(0)), _MOST_PROCESSES, len(cases))
    found: list[Found] = []
    # Fresh processes: a forked one has locks of threads that it lacks.
    with ProcessPoolExecutor(workers, get_context("spawn"), _alone) as pool:
        for result in pool.map(work, cases):
            found.append(result)
            report(len(found), len(cases), "")
    return found


def _alone() -> None:
    """One thread a process: the processes themselves are what runs side by side."""
    os.environ["OMP_NUM_THREADS"] = "1"
