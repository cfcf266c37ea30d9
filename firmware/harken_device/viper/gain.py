"""Automatic gain and limiter, as `firmware/native/core/gain.c` works (sources there)."""

import micropython
from micropython import const

from harken_device.viper.buffers import check_hop, check_out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _mpy_shed._mpy_builtins import ptr16, ptr32

    from harken_device.viper.buffers import Buffer, Writable

# log2 in Q16, of powers and of amplitudes.
_TARGET = const(1585152)
_PAUSE = const(326528)
_DECIBEL = const(10880)
_MOST_GAIN = const(261184)
_UP = const(640)
_DOWN = const(4352)
_FARTHEST = const(8 * 65536)
_NOISE_CEILING_DB = const(-46)
_RISE = const(16)
_FALL = const(64)
_STARTING_HOPS = const(200)
_FACTOR_ONE = const(2048)
_LIMIT_ONE = const(4096)
_CEILING = const(29204)
_RELEASE = const(24)


@micropython.viper
def _energy(pcm: ptr16) -> int:
    """Sum of the squares of 160 samples, without their last eight bits."""
    total = 0
    for n in range(160):
        sample = (int(pcm[n]) ^ 0x8000) - 0x8000
        total += sample * sample >> 8
    return total


@micropython.viper
def _log2(value: int) -> int:
    """log2 in Q10, by the leading bit and a parabola between powers of two."""
    if value == 0:
        return -16384
    exponent = -1
    bits = value
    while bits:
        bits >>= 1
        exponent += 1
    fraction = (value >> (exponent - 10) if exponent > 10 else value << (10 - exponent)) & 1023
    return (exponent << 10) + fraction + ((fraction * (1024 - fraction) >> 10) * 352 >> 10)


@micropython.viper
def _exp2(x: int, point: int) -> int:
    """2**(x / 1024) with `point` bits after the binary point, below 2**31."""
    fraction = x & 1023
    bow = (fraction * (1024 - fraction) >> 10) * 352 >> 10
    mantissa = (1024 + fraction - bow) << 6
    shift = (x >> 10) + point - 16
    if shift >= 0:
        return mantissa << shift
    return mantissa >> -shift if shift > -18 else 0


@micropython.viper
def _amplify(pcm: ptr16, loud: ptr32, peaks: ptr32, factor: int, reached: int):  # type: ignore[no-untyped-def]
    """160 samples times a factor (Q11) that moves in a line; the peak of each 16."""
    at = factor * 256
    slope = reached * 256 - at
    slope = slope // 160 if slope >= 0 else -(-slope // 160)
    for block in range(10):
        peak = 0
        for n in range(block * 16, block * 16 + 16):
            at += slope
            value = ((int(pcm[n]) ^ 0x8000) - 0x8000) * (at >> 8) >> 11
            loud[n] = value
            value = -value if value < 0 else value
            peak = value if value > peak else peak
        peaks[block] = peak


@micropython.viper
def _limit(loud: ptr32, peaks: ptr32, out: ptr16, start: int) -> int:
    """Keep the samples under the ceiling; the factor at the end (Q12), and 2**16 if it worked."""
    worked = 0
    begin = start
    for block in range(10):
        peak = int(peaks[block])
        here = _CEILING * _LIMIT_ONE // peak if peak > _CEILING else _LIMIT_ONE
        end = int(_LIMIT_ONE)
        if block < 9:
            peak = int(peaks[block + 1])
            end = _CEILING * _LIMIT_ONE // peak if peak > _CEILING else _LIMIT_ONE
        end = end if end < here else here
        end = end if end < begin + _RELEASE else begin + _RELEASE
        if here < _LIMIT_ONE:
            worked = 0x10000
        for n in range(16):
            value = int(loud[block * 16 + n])
            # Where a word has 64 bits, these 32 come without their sign.
            value -= (value >> 31 & 1) << 16 << 16
            value = value * (begin + ((end - begin) * (n + 1) >> 4)) >> 12
            value = _CEILING if value > _CEILING else value
            out[block * 16 + n] = -_CEILING if value < -_CEILING else value
        begin = end
    return worked | begin


class Gain:
    """Brings speech to its level, and keeps peaks under -1 dB of full scale."""

    def __init__(self) -> None:
        self._loud = bytearray(640)
        self._peaks = bytearray(40)
        self.reset()

    def reset(self) -> None:
        """As new: no gain, no limiting."""
        self._level = _TARGET
        self._gain = 0
        self._factor = _FACTOR_ONE
        self._limit = _LIMIT_ONE
        self._heard = 0

    def step(self, pcm: "Buffer", speech: int, noise_db: int, out: "Writable") -> int:
        """Take 160 samples and write 160.

        Args:
            pcm: the samples.
            speech: whether somebody speaks in them, 0 or 1.
            noise_db: the noise in them, -200 to 0 dB of full scale.
            out: may be `pcm`.

        Returns:
            1 where the limiter worked.

        Raises:
            TypeError: `out` is read-only.
            ValueError: a buffer is too short, or a number out of range.
        """
        check_hop(pcm)
        check_out(out)
        if not 0 <= speech <= 1 or not -200 <= noise_db <= 0:
            raise ValueError("speech must be 0 or 1, noise_db -200 to 0")
        level = (_log2(_energy(pcm) // 10) + 4096) * 64
        speaking = speech == 1 and level > 0
        if speaking:
            self._follow_speech(level)
        self._move(speaking, noise_db)
        reached = _exp2(self._gain >> 6, 11)
        _amplify(pcm, self._loud, self._peaks, self._factor, reached)
        self._factor = reached
        limit = _limit(self._loud, self._peaks, out, self._limit)
        self._limit = limit & 0xFFFF
        return limit >> 16

    def gain_db(self) -> int:
        """The gain reached, without the limiter."""
        return (self._gain // 64 * 602 + 51200) // 102400

    def _follow_speech(self, level: int) -> None:
        if self._heard < _STARTING_HOPS:
            self._heard += 1
        elif level < self._level - _PAUSE:
            return
        distance = level - self._level
        ratio = _exp2(min(distance, _FARTHEST) >> 6, 10) - 1024
        slowness = min(_RISE if distance > 0 else _FALL, self._heard)
        moved = 1024 + (ratio // slowness if ratio >= 0 else -(-ratio // slowness))
        self._level += (_log2(max(moved, 1)) - 10240) * 64

    def _move(self, speaking: bool, noise_db: int) -> None:
        most = min(max(_DECIBEL * (_NOISE_CEILING_DB - noise_db), 0), _MOST_GAIN)
        wanted = (_TARGET - self._level) // 2 if speaking else self._gain
        step = min(max(wanted, 0), most) - self._gain
        up = 2 * _UP if self._heard < _STARTING_HOPS else _UP
        self._gain += max(min(step, up), -_DOWN)
