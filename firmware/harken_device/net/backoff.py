"""How long to wait before trying again: doubling, with full jitter above half.

Many devices lose the same gateway at the same moment; the jitter keeps them from all coming back
at the same moment.
"""

import random


class Backoff:
    """Waits that grow.

    Args:
        first_ms: the first wait, at most.
        longest_ms: no wait exceeds it.
    """

    def __init__(self, first_ms: int = 500, longest_ms: int = 30_000) -> None:
        self._first = first_ms
        self._longest = longest_ms
        self._next = first_ms

    def next_ms(self) -> int:
        """The wait before the next try, between half of the step and all of it."""
        step = self._next
        self._next = min(step * 2, self._longest)
        return step // 2 + random.randint(0, step - step // 2)  # noqa: S311 - no secret

    def reset(self) -> None:
        """It worked: the next wait is short again."""
        self._next = self._first
