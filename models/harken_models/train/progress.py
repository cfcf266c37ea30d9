"""How far long work is: bars on a terminal, a line at every quarter elsewhere, always on stderr."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    Report = Callable[[int, int, str], None]
    """Called with parts done, parts in all and a note."""

__all__ = ["Progress"]


class Progress:
    """Shows stages one after another.

    Args:
        quiet: shows nothing, for programs.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet

    def found(self, about: str) -> None:
        """Say that a stage was there already."""
        if not self._quiet:
            print(f"{about}: done before", file=sys.stderr)

    @contextmanager
    def showing(self, about: str) -> Generator[Report]:
        """Show one stage while it lasts, and the time it took."""
        if self._quiet:
            yield _nothing
            return
        began = time.monotonic()
        if sys.stderr.isatty():
            with _bar(about) as report:
                yield report
        else:
            yield _lines(about)
        print(f"{about}: {time.monotonic() - began:.0f} s", file=sys.stderr)


def _nothing(_done: int, _total: int, _note: str) -> None:
    """Show nothing."""


@contextmanager
def _bar(about: str) -> Generator[Report]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.progress import TimeRemainingColumn as Remaining

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f} {task.fields[note]}"),
        TimeElapsedColumn(),
        Remaining(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(about, total=1, note="")

        def report(done: int, total: int, note: str) -> None:
            bars.update(task, completed=done, total=total, note=note)

        yield report


def _lines(about: str) -> Report:
    told = -1

    def report(done: int, total: int, note: str) -> None:
        nonlocal told
        quarter = 4 * done // max(total, 1)
        if quarter > told:
            told = quarter
            print(f"{about}: {done} of {total} {note}".rstrip(), file=sys.stderr)

    return report
