"""Decides whether somebody speaks over the answer, so that it should stop.

Three witnesses are heard, each block: the canceller says in how many bands its output is over echo
and noise; the voice activity in that output says that it is a voice; and the output's level over
the echo's is held against what it was of late. The last one knows the room: where a loudspeaker
distorts or a room reverberates for long, more of the echo is left, and more is asked of a talker.
Where the microphone's sound is cut off, by a loudspeaker that is too loud for it, none is believed:
what that adds is in every band, and no echo of what was played.

What is over that level is summed up, what is below is taken away, and a sum that is large enough
is an interruption (the cumulative sum test: E. S. Page, "Continuous inspection schemes", Biometrika
41(1/2), 1954). So a loud voice is found soon and a soft one later, and a click is forgotten.
Whoever has been found is not found again before a pause.
"""

from micropython import const

from harken_device.core import level

# What `Cleaner.step` tells.
CANCELLING = const(1)
CONVERGED = const(2)
NEAR = const(4)
_OVER_SHIFT = const(4)
_OVER = const(15)
_CLIPPED = const(256)

# Blocks of speech that have been heard, at the least, when somebody is found.
VOICED_BLOCKS = const(6)

# Levels are in sixteenths of a doubling of the power: 1 dB is 5.3 of them.
_QUIET = const(187)  # -62 dB of full scale: echo below that counts as so much
_LOUD = const(278)  # -45 dB: what plays is loud enough to say what the room makes of it
_DYING = const(4)  # a block: echo dies away by 75 dB a second, or more slowly
# The level of the output over the echo that 19 blocks in 20 are below while nobody talks, in 1/16.
_HIGHER = const(81)
_LOWER = const(4)
_HIGHEST = const(1020)
_LOWEST = const(-2126)
# Somebody who talks is at times below that: -3 dB, +-8 dB a block, 28 dB in all.
_MARGIN = const(-16)
_MOST = const(43)
_AGAINST = const(-11)  # a block that is no voice, or nothing but echo
# So many bands over echo and noise are more than echo; each one more is evidence, up to four.
_BANDS = const(3)
_MOST_BANDS = const(7)
_A_BAND = const(10)
_CLIPPED_BLOCKS = const(3)  # one that is cut off, and what of it is in those after
_PAUSE = const(30)  # blocks without evidence
_ENOUGH = const(150)

# Blocks in which the loudspeaker is heard, before anything is believed: in each answer, since boot,
# and since boot where the canceller has not converged, as it never does on an echo that is faint.
_SETTLING = const(30)
_LEARNING = const(60)
_UNCONVERGED = const(100)


class BargeIn:
    """Follows one answer after the other; what it learnt of the room stays."""

    def __init__(self) -> None:
        self._sum = 0
        self._clipped = 0  # blocks in which what was cut off is still there
        self._found = 0  # blocks until somebody may be found again
        self._sounding = 0  # blocks of this answer in which the loudspeaker was heard
        self._heard = 0  # and since boot, as far as it matters
        self._echo = 0  # expected, dying away
        self._path = 0  # what the room makes of the loudspeaker's level, in 1/64
        self._known = False
        self._usual = 0  # output over echo, in 1/16

    def reset(self) -> None:
        """An answer begins."""
        self._sum = 0
        self._found = 0
        self._sounding = 0

    def step(
        self, told: int, voice: bool, mic: bytearray, linear: bytearray, loudspeaker: bytearray
    ) -> bool:
        """Take one block of an answer; True where somebody has been found. Allocates nothing.

        Args:
            told: by `Cleaner.step`.
            voice: there is voice activity in what the canceller leaves.
            mic: int16 [160], what it was given.
            linear: int16 [160], what it left.
            loudspeaker: int16 [160], what was played.
        """
        over = level(linear, None) - self._expected(told, mic, linear, loudspeaker)
        if told & CANCELLING:
            self._learn(over)
            if not self._settled(told):
                self._sum = 0
                return False
        gain = self._evidence(told, voice, over - (self._usual >> 4) - _MARGIN)
        if self._found > 0:
            self._found = self._found - 1 if gain < 0 else _PAUSE
            return False
        self._sum = max(self._sum + gain, 0)
        if self._sum <= _ENOUGH:
            return False
        self._sum = 0
        self._found = _PAUSE
        return True

    def _evidence(self, told: int, voice: bool, over: int) -> int:
        """What a block says for somebody who speaks, or, below 0, against."""
        self._clipped = _CLIPPED_BLOCKS if told & _CLIPPED else max(self._clipped - 1, 0)
        if told & CANCELLING:
            bands = told >> _OVER_SHIFT & _OVER
            # Not `NEAR`: that holds for a while, also where clocks drift and echo comes back.
            if bands < _BANDS:
                voice = False
            over += _A_BAND * max(min(bands, _MOST_BANDS) - _BANDS, 0)
        gain = min(max(over, -_MOST), _MOST)
        return gain if voice and self._clipped == 0 else min(gain, _AGAINST)

    def _expected(
        self, told: int, mic: bytearray, linear: bytearray, loudspeaker: bytearray
    ) -> int:
        """Level of the echo: what was found of it, or as the room made it of late."""
        echo = level(mic, linear)
        played = level(loudspeaker, None)
        if told & CONVERGED and played > _LOUD:
            path = echo - played << 6
            self._path = self._path + (path - self._path >> 6) if self._known else path
            self._known = True
        self._echo = max(echo, played + (self._path >> 6), self._echo - _DYING)
        return max(self._echo, _QUIET)

    def _learn(self, over: int) -> None:
        if over << 4 > self._usual:
            self._usual = min(self._usual + _HIGHER, _HIGHEST)
        else:
            self._usual = max(self._usual - _LOWER, _LOWEST)

    def _settled(self, told: int) -> bool:
        """Whether the canceller can be believed in this block."""
        if self._sounding < _SETTLING:
            self._sounding += 1
        if self._heard < _UNCONVERGED:
            self._heard += 1
        if self._sounding < _SETTLING or self._heard < _LEARNING:
            return False
        return told & CONVERGED != 0 or self._heard >= _UNCONVERGED
