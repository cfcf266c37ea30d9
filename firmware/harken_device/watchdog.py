"""Feeds the hardware watchdog only while everything that must turn is turning."""

from time import ticks_diff, ticks_ms

from micropython import const

TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from collections.abc import Callable

AUDIO = const(0)
NETWORK = const(1)

# A loop that stood still for so long is stuck: the slowest thing either does in one piece is a
# name look-up or a TLS handshake step on a bad network.
_LONGEST_STILL_MS = (2000, 15_000)


class Watchdog:
    """Two loops report that they turn; the chip is fed while both do.

    Args:
        feed: feeds the hardware watchdog.
    """

    def __init__(self, feed: "Callable[[], None]") -> None:
        self._feed = feed
        now = ticks_ms()
        self._seen = [now, now]

    def beat(self, loop: int) -> None:
        """`AUDIO` or `NETWORK` went round once. Allocates nothing."""
        self._seen[loop] = ticks_ms()

    def stuck(self) -> int:
        """The loop that stands still, or -1."""
        now = ticks_ms()
        for loop in (AUDIO, NETWORK):
            if ticks_diff(now, self._seen[loop]) > _LONGEST_STILL_MS[loop]:
                return loop
        return -1

    def check(self) -> bool:
        """Feed if both loops live; False if not."""
        if self.stuck() >= 0:
            return False
        self._feed()
        return True
