"""Wall clock: what the gateway said, carried on by the chip's own."""

import time

_NS_PER_MS = 1_000_000


class Clock:
    """Wall clock of the board."""

    def __init__(self) -> None:
        self._offset_ms: int | None = None

    def set(self, unix_ms: int) -> None:
        """Milliseconds since 1970, UTC, at this moment."""
        self._offset_ms = unix_ms - time.time_ns() // _NS_PER_MS

    def unix_ms(self) -> int:
        """Milliseconds since 1970, UTC; 0 as long as nobody set it."""
        if self._offset_ms is None:
            return 0
        return time.time_ns() // _NS_PER_MS + self._offset_ms
