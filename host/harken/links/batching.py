"""Fewer wake-ups under load.

With hundreds of devices a frame arrives every few dozen microseconds, and waking up for each
costs more than handling it. So where frames come that fast the loop rests for a moment between
two polls, and one poll then finds several. A frame waits at most `_REST_S` longer for it; below
`_RATE` frames a second nothing changes.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

__all__ = ["WakeBatcher"]

_RATE = 2_000.0
_REST_S = 0.0005
_ENOUGH = 16
"""A pass that found so many frames needs no rest to find more: the loop is busy by itself."""

_WINDOW_S = 0.05


class WakeBatcher:
    """Rests between the passes of one loop; shared by all links of a door.

    Args:
        loop: the loop that polls.
    """

    __slots__ = ("_count", "_loop", "_passed", "_resting", "_since", "pending")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._count = 0
        self._passed = 0
        self._since = time.monotonic()
        self._resting = False
        self.pending = 0

    def first(self) -> None:
        """A link got the first frame of a pass; `pending` counts those of the pass."""
        self._loop.call_soon(self._end_pass)

    def _end_pass(self) -> None:
        """Runs after the frames of one poll and before the next poll."""
        found, self.pending = self.pending, 0
        self._count += found
        if self._resting and found < _ENOUGH:
            time.sleep(_REST_S)
        self._passed += 1
        if self._passed & 15 == 0 or not self._resting:
            self._judge()

    def _judge(self) -> None:
        elapsed = time.monotonic() - self._since
        if elapsed >= _WINDOW_S:
            self._resting = self._count > _RATE * elapsed
            self._count = 0
            self._since += elapsed
