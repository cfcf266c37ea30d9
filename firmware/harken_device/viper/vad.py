"""Voice activity, as `firmware/native/core/vad.c` decides on it (sources there)."""

from array import array

import micropython
from micropython import const

from harken_device.viper.buffers import check_hop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _mpy_shed._mpy_builtins import ptr16, ptr32

    from harken_device.viper.buffers import Buffer

# Levels are dB of full scale in Q8.
_FULL_SCALE = const(28761)
_SILENCE = const(-24576)
_MINIMUM_BIAS = const(384)
_HYSTERESIS = const(768)
_LIKELY = const(256)
_STILL_LIKELY = const(204)
_FAINTEST = const(-20480)
_UNDER_FLOOR = const(1536)
_BLOCKS = const(10)
_BLOCK_HOPS = const(25)
_SMOOTHED = const(3)
_TUNING = "threshold_db must be 1 to 60, hangover_ms 0 to 10000"
_PROBABILITY = "probability must be 0 to 255, or -1"


@micropython.viper
def _filter(pcm: ptr16, state: ptr32):  # type: ignore[no-untyped-def]
    """Energy of 160 samples in the band of voices, as state[4] * 2**20 + state[5].

    The first four words are the filter's: the last sample and three values in Q4.
    """
    last = int(state[0])
    high = int(state[1])
    before = int(state[2])
    earlier = int(state[3])
    # Where a word has 64 bits, these 32 come without their sign.
    last -= (last >> 31 & 1) << 16 << 16
    high -= (high >> 31 & 1) << 16 << 16
    before -= (before >> 31 & 1) << 16 << 16
    earlier -= (earlier >> 31 & 1) << 16 << 16
    upper = 0
    middle = 0
    lower = 0
    for n in range(160):
        sample = (int(pcm[n]) ^ 0x8000) - 0x8000
        high += (sample - last) * 16 - (high >> 4)
        last = sample
        sample = (high + 2 * before + earlier) >> 6
        earlier = before
        before = high
        if sample < 0:
            sample = -sample
        a = sample >> 10
        b = sample & 0x3FF
        upper += a * a
        middle += a * b
        lower += b * b
    state[0] = last
    state[1] = high
    state[2] = before
    state[3] = earlier
    lower += (middle & 0x1FF) << 11
    state[4] = upper + (middle >> 9) + (lower >> 20)
    state[5] = lower & 0xFFFFF


@micropython.viper
def _decibels(high: int, low: int) -> int:
    """10 log10 of high * 2**20 + low, in Q8."""
    if high == 0 and low == 0:
        return 4185
    exponent = -1
    bits = high if high else low
    while bits:
        bits >>= 1
        exponent += 1
    if high == 0:
        fraction = low >> (exponent - 16) if exponent > 16 else low << (16 - exponent)
    elif exponent < 16:
        fraction = high << (16 - exponent) | low >> (4 + exponent)
    else:
        fraction = high >> (exponent - 16)
    if high:
        exponent += 20
    fraction &= 0xFFFF
    bow = (fraction * (0x10000 - fraction) >> 16) * 22544 >> 16
    return ((exponent << 8) + ((fraction + bow) >> 8)) * 12330 >> 12


class Vad:
    """A model's probability where there is one, else energy over a tracked noise floor."""

    def __init__(self) -> None:
        self._threshold = 9 << 8
        self._hangover = 50
        self._state = array("I", bytes(24))
        self._minima = [0] * _BLOCKS
        # Energies of the last hops, the newest last, each in two halves.
        self._highs = [0] * _SMOOTHED
        self._lows = [0] * _SMOOTHED
        self.reset()

    def reset(self) -> None:
        """Forget the sound and the floor; what `tune` set stays."""
        for i in range(len(self._state)):
            self._state[i] = 0
        for i in range(_SMOOTHED):
            self._highs[i] = self._lows[i] = 0
        self._level = self._floor = _SILENCE
        self._block_minimum = 0
        self._block = 0
        self._hops_in_block = 0
        self._history = 0
        self._heard = 0
        self._utterance = False
        self._since_speech = 0
        self._probability = -1

    def tune(self, threshold_db: int, hangover_ms: int) -> None:
        """Set threshold (1..60 dB over the floor) and hang-over (0..10000 ms); -1 leaves a value.

        Raises:
            ValueError: one is out of range.
        """
        if threshold_db != -1 and not 1 <= threshold_db <= 60:
            raise ValueError(_TUNING)
        if hangover_ms != -1 and not 0 <= hangover_ms <= 10_000:
            raise ValueError(_TUNING)
        if threshold_db != -1:
            self._threshold = threshold_db << 8
        if hangover_ms != -1:
            self._hangover = hangover_ms // 10

    def step(self, pcm: "Buffer", probability: int) -> int:
        """Take 160 samples and what a model says of them, 0..255, or -1: energy decides.

        Returns:
            Bit 0 speech now, bit 1 inside an utterance (hang-over counted).

        Raises:
            ValueError: `pcm` is too short, or `probability` out of range.
        """
        check_hop(pcm)
        if not -1 <= probability <= 255:
            raise ValueError(_PROBABILITY)
        _filter(pcm, self._state)
        high, low = self._state[4], self._state[5]
        self._level = _decibels(high, low) - _FULL_SCALE
        # A muted microphone gives exact zeros, which say nothing about the room.
        sounding = high != 0 or low != 0
        if sounding:
            self._track_floor(high, low)
        if probability < 0:
            self._probability = -1
            raised = self._threshold - (_HYSTERESIS if self._utterance else 0)
            counts = self._level > self._floor + raised
        else:
            counts = self._likely(probability)
        counts = sounding and counts
        history = (self._history << 1 | (1 if counts else 0)) & 7
        self._history = history
        # The model's answers are smooth already; a majority would only come later.
        speech = counts
        if probability < 0:
            speech = (history & 1) + (history >> 1 & 1) + (history >> 2) >= 2
        self._follow_utterance(speech)
        return (1 if speech else 0) | (2 if self._utterance else 0)

    def level_db(self) -> int:
        """Level of the last hop, in dB of full scale."""
        return self._level + 128 >> 8

    def floor_db(self) -> int:
        """The tracked noise floor, in dB of full scale."""
        return self._floor + 128 >> 8

    def _track_floor(self, high: int, low: int) -> None:
        highs, lows, minima = self._highs, self._lows, self._minima
        for n in range(_SMOOTHED - 1):
            highs[n] = highs[n + 1]
            lows[n] = lows[n + 1]
        highs[_SMOOTHED - 1] = high
        lows[_SMOOTHED - 1] = low
        if self._heard < _SMOOTHED:
            self._heard += 1
        heard = self._heard
        total = lows[0] + lows[1] + lows[2]
        high = highs[0] + highs[1] + highs[2] + (total >> 20)
        low = ((high % heard) << 20 | total & 0xFFFFF) // heard
        smoothed = _decibels(high // heard, low) - _FULL_SCALE
        if heard == 1:
            for n in range(_BLOCKS):
                minima[n] = smoothed
            self._block_minimum = smoothed
        self._block_minimum = min(self._block_minimum, smoothed)
        minima[self._block] = self._block_minimum
        self._hops_in_block += 1
        if self._hops_in_block == _BLOCK_HOPS:
            self._hops_in_block = 0
            self._block = (self._block + 1) % _BLOCKS
            self._block_minimum = smoothed
        self._floor = min(minima) + _MINIMUM_BIAS

    def _likely(self, probability: int) -> bool:
        before = probability if self._probability < 0 else self._probability
        self._probability = probability
        if self._level < _FAINTEST or self._level < self._floor - _UNDER_FLOOR:
            return False
        return probability + before >= (_STILL_LIKELY if self._utterance else _LIKELY)

    def _follow_utterance(self, speech: bool) -> None:
        if speech:
            self._since_speech = 0
            if self._history & 7 == 7:
                self._utterance = True
        elif self._since_speech < self._hangover:
            self._since_speech += 1
        else:
            self._utterance = False
