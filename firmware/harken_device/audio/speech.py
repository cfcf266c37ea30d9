"""Where the user's turn begins and ends, from the voice activity of each block.

Speech has begun when the voice has been active for `_ONSET_BLOCKS` of late: the tail of the wake
word and a click do not suffice. It has ended after `endpoint_ms` without voice, single blocks
of it not counted.
"""

from micropython import const

_ONSET_BLOCKS = const(12)
_CLICK_BLOCKS = const(2)

BEGAN = const(1)
ENDED = const(2)


class Speech:
    """The user's turn.

    Args:
        endpoint_ms: silence that ends it.
    """

    def __init__(self, endpoint_ms: int) -> None:
        self._endpoint_blocks = endpoint_ms // 10
        self.listen()

    def listen(self, voiced_blocks: int = 0) -> None:
        """A turn may begin from now on; so many blocks of its speech were heard before."""
        self._voiced = voiced_blocks  # leaks one for each silent block
        self._run = 0
        self._silent = 0
        self._began = False
        self._ended = False

    @property
    def silent_blocks(self) -> int:
        """How long ago the last block with voice was."""
        return self._silent

    def step(self, voice: bool) -> int:
        """Take one block of 10 ms; `BEGAN`, `ENDED` or 0. Allocates nothing."""
        if voice:
            self._run += 1
            self._voiced += 1
            if not self._began or self._run > _CLICK_BLOCKS:
                self._silent = 0
            else:
                self._silent += 1
        else:
            self._run = 0
            self._silent += 1
            if self._voiced:
                self._voiced -= 1
        if not self._began:
            if self._voiced < _ONSET_BLOCKS:
                return 0
            self._began = True
            return BEGAN
        if self._ended or self._silent < self._endpoint_blocks:
            return 0
        self._ended = True
        return ENDED
