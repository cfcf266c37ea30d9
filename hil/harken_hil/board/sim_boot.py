"""What MicroPython runs when a simulated board is switched on: mount the flash, start `main`.

Runs in MicroPython, never in CPython. The flash is a file: first the ROM, which lies mapped in
memory, then a LittleFS 2 file system.
"""

import os
import sys

import uctypes
import vfs
from micropython import const

_BLOCK = const(4096)
_COUNT_BLOCKS = const(4)
_BLOCK_SIZE = const(5)
_ERASE = const(6)
_ERASED = b"\xff" * 64


class FlashImage:
    """A MicroPython block device over a file from `start` on."""

    def __init__(self, path: str, start: int) -> None:
        self._file = open(path, "r+b")
        self._start = start
        self._blocks: int = (self._file.seek(0, 2) - start) // _BLOCK

    def readblocks(self, block: int, buffer: bytearray, offset: int = 0) -> None:
        """Fill `buffer` from `offset` in `block`."""
        self._file.seek(self._start + block * _BLOCK + offset)
        self._file.readinto(buffer)

    def writeblocks(self, block: int, buffer: bytes, offset: int = 0) -> None:
        """Program `buffer` at `offset` in `block`."""
        self._file.seek(self._start + block * _BLOCK + offset)
        self._file.write(buffer)

    def ioctl(self, operation: int, argument: int) -> int:
        """Geometry and erase, as `vfs.AbstractBlockDev` asks for them."""
        if operation == _COUNT_BLOCKS:
            return self._blocks
        if operation == _BLOCK_SIZE:
            return _BLOCK
        if operation == _ERASE:
            # Piece by piece: a chip's flash erases without a block of the heap.
            for offset in range(0, _BLOCK, len(_ERASED)):
                self.writeblocks(argument, _ERASED, offset)
        return 0


def _mount() -> None:
    size = int(os.getenv("HARKEN_SIM_ROM_BYTES") or 0)
    rom = uctypes.bytearray_at(int(os.getenv("HARKEN_SIM_ROM") or 0), size)
    # The stubs take a file system for a block device.
    vfs.mount(vfs.VfsRom(rom), "/rom")  # type: ignore[abstract]
    image = FlashImage(os.getenv("HARKEN_SIM_FLASH") or "", size)
    vfs.mount(vfs.VfsLfs2(image), "/flash")  # type: ignore[abstract,arg-type]
    os.chdir("/flash")
    sys.path[:] = ["/rom", ".frozen"]


_mount()

import main  # noqa: E402, F401
