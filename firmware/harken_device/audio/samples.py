"""Loops over samples, compiled to machine code: they allocate nothing and run in microseconds.

Blocks are int16, native endian. None of these checks its bounds: the callers' buffers are fixed.
Viper knows no `-> None`.
"""

import micropython

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _mpy_shed._mpy_builtins import ptr8, ptr16


@micropython.viper
def copy(to: ptr8, at: int, source: ptr8, start: int, count: int):  # type: ignore[no-untyped-def]
    """Copy `count` bytes of `source` from `start` into `to` from `at`."""
    for i in range(count):
        to[at + i] = source[start + i]


@micropython.viper
def silence(block: ptr16, count: int):  # type: ignore[no-untyped-def]
    """Write `count` zeros."""
    for i in range(count):
        block[i] = 0


@micropython.viper
def amplify(out: ptr16, pcm: ptr16, start: int, count: int, gain: int, step: int) -> int:
    """Write `count` samples of `pcm` from `start`, multiplied by a gain that moves in a line.

    Args:
        out: int16 [count].
        pcm: int16.
        start: first sample taken.
        count: how many.
        gain: of the first sample, 32,768 is 1.0; at most that.
        step: added to the gain after each sample.

    Returns:
        The first sample whose magnitude is above 64 (-54 dB of full scale), or -1.
    """
    first = -1
    for i in range(count):
        value = (((int(pcm[start + i]) ^ 0x8000) - 0x8000) * gain) >> 15
        gain += step
        out[i] = value
        if first < 0 and (value > 64 or value < -64):
            first = i
    return first


@micropython.viper
def level(one: ptr16, other: ptr16) -> int:
    """The level of what a block of 160 samples has more than another, without its mean.

    Samples are counted up to half of full scale.

    Args:
        one: int16 [160].
        other: int16 [160]; zeros for the level of `one` itself.

    Returns:
        The logarithm of the power to base 2, times 16; 517 is full scale, 0 nothing.
    """
    power = 0
    total = 0
    for i in range(160):
        value = ((int(one[i]) ^ 0x8000) - 0x8000) - ((int(other[i]) ^ 0x8000) - 0x8000)
        if value > 16383:
            value = 16383
        elif value < -16383:
            value = -16383
        value >>= 1
        total += value
        power += value * value >> 3
    mean = total // 160
    power -= mean * mean * 20
    if power < 16:
        return 0
    doublings = 4
    while power >= 32:
        power >>= 1
        doublings += 1
    return doublings * 16 + power - 16
