"""How much audio a device may be sent now: enough never to starve, too little to overflow.

Pure: time is passed in, nothing waits here.
"""

from __future__ import annotations

__all__ = ["DEVICE_QUEUE_MS", "Pacer"]

DEVICE_QUEUE_MS = 2_400
"""What boards in the field buffer (40 packets of 60 ms); what overflows is lost."""

_MAX_LEAD_MS = 1_200
_LEAD_STEP_MS = 100
_REPORT_GAP_S = 0.5
"""Reports come every 200 ms while a device plays: without one it is taken to have stalled."""

_SKEW = 1.02
_GRACE_MS = 50


class Pacer:
    """The device's playout as the gateway sees it, for one answer after the other.

    Until the device reports, it is taken to play in real time from the first packet on. Once it
    reports, its word counts, carried on in real time for a short while. No device plays faster
    than real time, whatever it says. A device that starves or has to conceal frames is given a
    longer lead for the rest of the session.

    Args:
        lead_ms: audio to be sent ahead of what is played.
        queue_ms: what the device can buffer.
    """

    def __init__(self, lead_ms: int, queue_ms: int = DEVICE_QUEUE_MS) -> None:
        self._lead_ms = float(min(lead_ms, queue_ms))
        self._queue_ms = queue_ms
        self.begin()

    @property
    def sent_ms(self) -> float:
        """Audio sent since the answer began."""
        return self._sent_ms

    @property
    def lead_ms(self) -> float:
        """How far ahead of the device's playout audio is sent."""
        return self._lead_ms

    def begin(self) -> None:
        """A new answer: nothing of it is sent or played."""
        self._sent_ms = 0.0
        self._started_at: float | None = None
        self._base_ms = 0.0
        self._base_at = 0.0
        self._reported = False
        self._silent = False
        self._late = 0

    def sent(self, ms: float, now: float) -> None:
        """`ms` of audio were sent at `now`, in seconds."""
        if self._started_at is None:
            self._started_at = self._base_at = now
        elif self._silent or not self._reported:
            # A device that ran dry waits: its clock goes on with this packet.
            self._base_ms, self._base_at = self.played_ms(now), now
            self._silent = False
        self._sent_ms += ms

    def report(
        self, played_ms: int, buffered_ms: int, late: int, now: float, *, ended: bool = False
    ) -> None:
        """The device said what it has played and what it still holds; `ended`: it plays no more."""
        if self._started_at is None:
            return
        fastest = (now - self._started_at) * 1000 * _SKEW + _GRACE_MS
        self._reported = True
        self._silent = ended
        self._base_ms = min(float(played_ms), self._sent_ms, fastest)
        self._base_at = now
        starved = buffered_ms == 0 and 0 < played_ms < self._sent_ms
        if late > self._late or starved:
            most = min(_MAX_LEAD_MS, self._queue_ms)
            self._lead_ms = min(most, self._lead_ms + _LEAD_STEP_MS)
        self._late = max(late, self._late)

    def played_ms(self, now: float) -> float:
        """What the device has played by `now`, by its word or by our clock."""
        if self._started_at is None:
            return 0.0
        since = now - self._base_at
        if self._reported:
            since = 0.0 if self._silent else min(since, _REPORT_GAP_S)
        return min(self._sent_ms, self._base_ms + since * 1000)

    def room_ms(self, now: float) -> float:
        """Audio that may be sent now; not above what keeps the device's queue from overflowing."""
        return self._lead_ms - (self._sent_ms - self.played_ms(now))
