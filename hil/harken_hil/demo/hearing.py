"""What the device's cleaner made of the microphone, computed again from what was recorded.

The device sends its cleaned sound away compressed and keeps nothing. But the same C, given the same
blocks of microphone and loudspeaker, gives the same samples again, to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from harken_models.core import HOP, Cleaner

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Heard", "Reading", "hear_again"]

_HOPS_A_READING = 10
# What comes out of the cleaner is so far behind the microphone.
_BEHIND = HOP


@dataclass(frozen=True, slots=True)
class Reading:
    """What the cleaner says of itself at a moment.

    Attributes:
        sample: device sample.
        told: bits of `Cleaner.step`.
        erle_db: how much of the echo it takes away.
        delay_ms: of the echo.
        noise_db: the noise at the microphone, dB of full scale.
        gain_db: the gain it applies.
    """

    sample: int
    told: int
    erle_db: int
    delay_ms: int
    noise_db: int
    gain_db: int


@dataclass(frozen=True, slots=True)
class Heard:
    """The microphone after the cleaner.

    Attributes:
        cleaned: int16 [n], 16 kHz, what is sent to the gateway; in step with the microphone, the
            cleaner's own delay taken out.
        linear: int16 [n], the echo canceller's output alone: what voices are found in.
        readings: one every 100 ms.
    """

    cleaned: NDArray[np.int16]
    linear: NDArray[np.int16]
    readings: tuple[Reading, ...]


class Recording(Protocol):
    """What is left of a board after a run."""

    @property
    def origin(self) -> int:
        """Sample of the first block that the device was given."""
        ...

    @property
    def mic(self) -> NDArray[np.int16]:
        """Everything the microphone heard: int16 [n], 16 kHz."""
        ...

    @property
    def speaker(self) -> NDArray[np.int16]:
        """Everything the loudspeaker played, in step."""
        ...


def hear_again(board: Recording, parts: int = Cleaner.ALL) -> Heard:
    """Clean what a board has heard as its firmware did.

    It is the same to the bit unless the loudspeaker had glitches: then the firmware took for played
    what was not.

    Args:
        board: what it heard and played.
        parts: of the cleaner that were on.
    """
    mic, speaker = board.mic, board.speaker
    cleaner = Cleaner()
    cleaner.switch(parts)
    cleaned, linear = mic.copy(), mic.copy()
    out, straight = bytearray(2 * HOP), bytearray(2 * HOP)
    readings: list[Reading] = []
    for number, at in enumerate(range(board.origin, len(mic) - HOP + 1, HOP)):
        hop = slice(at, at + HOP)
        told = cleaner.step(mic[hop].tobytes(), speaker[hop].tobytes(), out, straight)
        linear[hop] = np.frombuffer(straight, np.int16)
        late = max(0, at - _BEHIND)
        cleaned[late : late + HOP] = np.frombuffer(out, np.int16)
        if number % _HOPS_A_READING == 0:
            readings.append(_reading(cleaner, at + HOP, told))
    return Heard(cleaned, linear, tuple(readings))


def _reading(cleaner: Cleaner, sample: int, told: int) -> Reading:
    return Reading(
        sample,
        told,
        cleaner.erle_db(),
        cleaner.delay_ms(),
        cleaner.noise_db(),
        cleaner.gain_db(),
    )
