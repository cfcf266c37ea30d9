"""Loops over samples, compiled to machine code: they allocate nothing and run in microseconds.

Blocks are int16, native endian. None of these checks its bounds: the callers' buffers are fixed.
Viper knows no `-> None`.
"""

import micropython

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _mpy_shed._mpy_builtins import ptr8, ptr16, ptr32


@micropython.viper
def copy(to: ptr8, at: int, source: ptr8, start: int, count: int):  # type: ignore[no-untyped-def]
    """Copy `count` bytes of `source` from `start` into `to` from `at`."""
    for i in range(count):
        to[at + i] = source[start + i]


@micropython.viper
def copy_words(to: ptr32, at: int, source: ptr32, start: int, count: int):  # type: ignore[no-untyped-def]
    """Copy `count` words of 4 bytes of `source` from word `start` into `to` from word `at`.

    Both buffers start at an address that 4 divides, as whole ones do.
    """
    for i in range(at, at + count):
        to[i] = source[start]
        start += 1


@micropython.viper
def silence(block: ptr16, count: int):  # type: ignore[no-untyped-def]
    """Write `count` zeros."""
    for i in range(count):
        block[i] = 0
