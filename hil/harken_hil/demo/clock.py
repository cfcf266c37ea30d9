"""The room's clock against the wall's.

The rig stops the room's clock while the machine is too busy to run it. The gateway works on
meanwhile, so a latency counted in samples alone would come out too short by that time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harken_hil.board.sim_board import RATE

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["RoomClock"]

_MS = RATE / 1000


@dataclass(frozen=True, slots=True)
class RoomClock:
    """Turns samples into time that passed, and back.

    Attributes:
        slips: samples at which the clock stood still, in order, and for how many seconds.
    """

    slips: Sequence[tuple[int, float]] = ()

    def ms(self, start: int, end: int) -> float:
        """Milliseconds that passed between two samples, to a tenth."""
        stood = sum(seconds for sample, seconds in self.slips if start < sample <= end)
        return round((end - start) / _MS + stood * 1000, 1)

    def sample(self, start: int, ms: float) -> int:
        """The sample that was reached `ms` after `start`; not later than a clock that ran on."""
        left, at = ms, start
        for sample, seconds in self.slips:
            if sample <= start:
                continue
            if (sample - at) / _MS >= left:
                break
            left -= (sample - at) / _MS
            at = sample
            left = max(0.0, left - seconds * 1000)
        return at + round(left * _MS)
