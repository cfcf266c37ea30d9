"""The level of a block, and a block louder or softer, as `firmware/native/core/level.h` says."""

import micropython

from harken_device.viper.buffers import HOP_BYTES, check_hop, check_out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _mpy_shed._mpy_builtins import ptr16

    from harken_device.viper.buffers import Buffer, Writable

_FULL_GAIN = 32_768
_SILENCE = bytes(HOP_BYTES)


@micropython.viper
def _level(one: ptr16, other: ptr16) -> int:
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


@micropython.viper
def _amplify(pcm: ptr16, start: int, gain: int, step: int, out: ptr16) -> int:
    first = -1
    for i in range(160):
        value = (((int(pcm[start + i]) ^ 0x8000) - 0x8000) * gain) >> 15
        gain += step
        out[i] = value
        if first < 0 and (value > 64 or value < -64):
            first = i
    return first


def level(one: "Buffer", other: "Buffer | None") -> int:
    """The level of what 160 samples have more than others, or, without others, their own.

    Raises:
        ValueError: a buffer is too short.
    """
    check_hop(one)
    if other is None:
        other = _SILENCE
    else:
        check_hop(other)
    return int(_level(one, other))


def amplify(pcm: "Buffer", start: int, gain: int, goal: int, out: "Writable") -> int:
    """Multiply 160 samples from `start` on by a gain that moves to `goal`; the first audible one.

    Raises:
        TypeError: `out` is read-only.
        ValueError: a buffer is too short, or a gain is not 0 to 32,768.
    """
    check_out(out)
    check_hop(pcm)
    if not 0 <= start <= (len(pcm) - HOP_BYTES) // 2:
        raise ValueError("the PCM buffer has no 160 samples from there")
    if not 0 <= gain <= _FULL_GAIN or not 0 <= goal <= _FULL_GAIN:
        raise ValueError("gains must be 0 to 32768")
    step = (goal - gain) // 160 if goal > gain else -((gain - goal) // 160)
    return int(_amplify(pcm, start, gain, step, out))
