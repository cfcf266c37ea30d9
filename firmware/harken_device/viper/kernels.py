"""The operations of the int8 engine, as `firmware/native/core/int8_kernels.c` does them.

All that a kernel needs of its operation is in the words that `packed.Step` makes of it.
"""

import micropython
from micropython import const

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _mpy_shed._mpy_builtins import ptr8, ptr32

# Places of an operation's numbers, 32 bits each; zero point, least and most are over -128.
_REQUANT = const(0)
_SOURCE = const(1)
_TARGET = const(2)
_ROWS = const(3)
_COLUMNS = const(4)
_ROW_STRIDE = const(5)
_OUTPUTS = const(6)
_POSITIONS = const(7)
_SOURCE_STEP = const(8)
_TARGET_STEP = const(9)
_WEIGHTS = const(10)
_ZERO = const(11)
_LEAST = const(12)
_MOST = const(13)


@micropython.viper
def requantise(sums: ptr32, model: ptr8, word: ptr32, position: int, arena: ptr8):  # type: ignore[no-untyped-def]
    """Bias, factor, zero point and bounds of the sums of one position: gemmlowp's two roundings.

    The product of 32 and 31 bits is made of halves, sign in the upper ones.
    """
    table = ptr32(int(model) + int(word[_REQUANT]))
    target = int(word[_TARGET]) + position * int(word[_TARGET_STEP])
    outputs = int(word[_OUTPUTS])
    zero = int(word[_ZERO]) - 128
    least = int(word[_LEAST]) - 128
    most = int(word[_MOST]) - 128
    # All ones where a word has 32 bits, and 32 of them where it has 64; no constant, which would
    # be too large for the compiler there.
    half = 16
    mask = (1 << half << half) - 1
    for o in range(outputs):
        shift = ((int(table[2 * outputs + o]) & 63) ^ 32) - 32
        total = int(sums[o]) + int(table[o])
        if shift > 0:
            total <<= shift
        total &= mask
        total -= (total >> 31 & 1) << 16 << 16
        factor = int(table[outputs + o])
        high = total >> 16
        low = total & 0xFFFF
        upper = factor >> 16
        lower = factor & 0xFFFF
        one = high * lower
        other = low * upper
        middle = (one & 0xFFFF) + (other & 0xFFFF) + ((low * lower) >> 16 & 0xFFFF)
        value = 2 * (high * upper + (one >> 16) + (other >> 16) + (middle >> 16))
        value += ((middle & 0xFFFF) + 0x4000) >> 15
        if shift < 0:
            rest = value
            value >>= -shift
            rest -= value << -shift
            if value < 0:
                rest -= 1
            if rest >= 1 << (-shift - 1):
                value += 1
        value += zero
        value = least if value < least else value
        arena[target + o] = most if value > most else value


@micropython.viper
def dense(arena: ptr8, model: ptr8, word: ptr32, position: int, sums: ptr32):  # type: ignore[no-untyped-def]
    """Dot products of one window with the weights of each output."""
    rows = int(word[_ROWS])
    columns = int(word[_COLUMNS])
    start = int(word[_SOURCE]) + position * int(word[_SOURCE_STEP])
    weight = int(word[_WEIGHTS])
    inputs = 0
    for row in range(rows):
        at = start + row * int(word[_ROW_STRIDE])
        for _ in range(columns):
            inputs += (int(arena[at]) ^ 128) - 128
            at += 1
    for o in range(int(word[_OUTPUTS])):
        # A weight's 128 too much, taken off again at the end.
        total = -128 * inputs
        for row in range(rows):
            at = start + row * int(word[_ROW_STRIDE])
            end = at + columns
            last = end - 3
            while at < last:
                total += ((int(arena[at]) ^ 128) - 128) * (int(model[weight]) ^ 128)
                total += ((int(arena[at + 1]) ^ 128) - 128) * (int(model[weight + 1]) ^ 128)
                total += ((int(arena[at + 2]) ^ 128) - 128) * (int(model[weight + 2]) ^ 128)
                total += ((int(arena[at + 3]) ^ 128) - 128) * (int(model[weight + 3]) ^ 128)
                at += 4
                weight += 4
            while at < end:
                total += ((int(arena[at]) ^ 128) - 128) * (int(model[weight]) ^ 128)
                at += 1
                weight += 1
        sums[o] = total


@micropython.viper
def depthwise(arena: ptr8, model: ptr8, word: ptr32, position: int, sums: ptr32):  # type: ignore[no-untyped-def]
    """Dot products over time, each channel with its own filter."""
    rows = int(word[_ROWS])
    columns = int(word[_COLUMNS])
    stride = int(word[_ROW_STRIDE])
    start = int(word[_SOURCE]) + position * int(word[_SOURCE_STEP])
    for c in range(columns):
        at = start + c
        weight = int(word[_WEIGHTS]) + c
        total = 0
        for _ in range(rows):
            total += ((int(arena[at]) ^ 128) - 128) * ((int(model[weight]) ^ 128) - 128)
            at += stride
            weight += columns
        sums[c] = total


@micropython.viper
def look_up(arena: ptr8, model: ptr8, word: ptr32):  # type: ignore[no-untyped-def]
    """Any function of one byte."""
    table = int(word[_WEIGHTS])
    for position in range(int(word[_POSITIONS])):
        source = int(word[_SOURCE]) + position * int(word[_SOURCE_STEP])
        target = int(word[_TARGET]) + position * int(word[_TARGET_STEP])
        for c in range(int(word[_COLUMNS])):
            arena[target + c] = model[table + (int(arena[source + c]) ^ 128)]


@micropython.viper
def move(arena: ptr8, source: int, target: int, count: int):  # type: ignore[no-untyped-def]
    """As memmove."""
    if target < source:
        for n in range(count):
            arena[target + n] = arena[source + n]
    else:
        n = count - 1
        while n >= 0:
            arena[target + n] = arena[source + n]
            n -= 1


@micropython.viper
def fill(arena: ptr8, at: int, count: int, value: int):  # type: ignore[no-untyped-def]
    """As memset."""
    for n in range(count):
        arena[at + n] = value
