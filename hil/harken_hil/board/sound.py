"""What a simulated board hears: any room that gives blocks of samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from harken_hil.board.wire import BLOCK

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATE = 16_000


class MicSource(Protocol):
    """The room, as the board's microphone hears it."""

    def block(self, n: int, played: NDArray[np.int16]) -> NDArray[np.int16]:
        """What is heard in block `n`, counted from power-on.

        Args:
            n: counts up by one.
            played: int16 [160], what the loudspeaker plays in this same block.

        Returns:
            int16 [160], 16 kHz.
        """
        ...


class Silence:
    """A room in which nothing is heard."""

    def block(self, n: int, played: NDArray[np.int16]) -> NDArray[np.int16]:
        """160 zeros."""
        del n, played
        return np.zeros(BLOCK, np.int16)
