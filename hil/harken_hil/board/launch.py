"""Started by CPython for each boot of a simulated board: maps its ROM, then becomes MicroPython.

Run alone, in a process of its own, with MicroPython's own arguments. The start of the image is
mapped into memory, as a microcontroller's flash is, and stays there for as long as the process
lives; `HARKEN_SIM_ROM` tells `sim_boot.py` where.
"""

import ctypes
import mmap
import os
import sys

from micropython_unix import main  # type: ignore[import-untyped]

with open(os.environ["HARKEN_SIM_FLASH"], "rb") as image:  # noqa: PTH123  # starts without pathlib
    rom = mmap.mmap(
        image.fileno(), int(os.environ["HARKEN_SIM_ROM_BYTES"]), access=mmap.ACCESS_COPY
    )
os.environ["HARKEN_SIM_ROM"] = str(ctypes.addressof(ctypes.c_char.from_buffer(rom)))
sys.exit(main())  # pyright: ignore[reportUnknownArgumentType]
