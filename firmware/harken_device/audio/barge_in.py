"""Decides whether somebody speaks over the answer, so that it should stop.

Evidence is gathered block by block: the canceller says that there is more in the microphone than
its echo, and the voice activity of what it leaves says that it is a voice. A click is too short,
the answer's own residue is no near talker, and until the canceller has settled nothing counts: at
the beginning of the first answer in a room all of the echo is left.
"""

from micropython import const

# What `Cleaner.step` tells.
CANCELLING = const(1)
CONVERGED = const(2)
NEAR = const(4)

# Blocks of evidence; one without takes one away: a voice may waver, a click is forgotten.
ENOUGH = const(8)
# From the first sound of an answer on; for it the canceller has its old filter and a new sound.
_SETTLING_BLOCKS = const(30)


class BargeIn:
    """Follows one answer after the other.

    Attributes:
        evidence: blocks that speak for an interruption, up to `ENOUGH`.
    """

    def __init__(self) -> None:
        self.evidence = 0
        self._sounding = 0

    def reset(self) -> None:
        """An answer begins, or was interrupted."""
        self.evidence = 0
        self._sounding = 0

    def step(self, told: int, voice: bool) -> bool:
        """Take one block of an answer; True once there is enough. Allocates nothing.

        Args:
            told: by `Cleaner.step`.
            voice: there is voice activity in what the canceller leaves.
        """
        if told & CANCELLING and self._sounding < _SETTLING_BLOCKS:
            self._sounding += 1
            return False
        if told & CANCELLING and not told & CONVERGED:
            self.evidence = 0
            return False
        if voice and (told & NEAR or not told & CANCELLING):
            self.evidence += 1
            if self.evidence >= ENOUGH:
                self.evidence = 0
                return True
        elif self.evidence > 0:
            self.evidence -= 1
        return False
