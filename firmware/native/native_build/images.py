"""MicroPython images: of the emulated board, and with the native modules compiled in."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from . import sources
from .modules import CACHE, NATIVE
from .run import run
from .trees import build_tree

if TYPE_CHECKING:
    from pathlib import Path

_HEAP_BYTES = 2 * 1024 * 1024
_BOARD = """\
QEMU_ARCH = arm
QEMU_MACHINE = mps2-an386
CFLAGS += -mthumb -mcpu=cortex-m4 -mfpu=fpv4-sp-d16 -mfloat-abi=hard
CFLAGS += -DQEMU_SOC_MPS2 -DMICROPY_HW_MCU_NAME='"Cortex-M4"'
LDSCRIPT = boards/HARKEN/mps2.ld
LDFLAGS += -Wl,--wrap=uart_init
SRC_C += boards/HARKEN/start.c
SRC_BOARD_O = shared/runtime/gchelper_native.o shared/runtime/gchelper_thumb2.o
"""
# The port leaves the floating-point unit off; `uart_init` is the first thing it calls.
_START = """\
void __real_uart_init(void);
void __wrap_uart_init(void);
void __wrap_uart_init(void) {
    *(volatile unsigned *)0xE000ED88 |= 0xFu << 20;
    __asm__ volatile("dsb\\n isb");
    __real_uart_init();
}
"""
# Without the parts whose libraries Debian's source package leaves out.
_UNIX_OPTIONS = ("MICROPY_PY_SSL=0", "MICROPY_PY_BTREE=0", "MICROPY_PY_FFI=0")


def unix_image() -> Path:
    """Return MicroPython's unix port with the native modules compiled in, brought up to date.

    Raises:
        BuildError: a source, a compiler or `make` is missing, or the build failed.
    """
    with build_tree(sources.MICROPYTHON) as tree:
        return _make(tree, "unix", "micropython", *_UNIX_OPTIONS, user_modules=True)


def qemu_image(*, user_modules: bool) -> Path:
    """Return MicroPython for the emulated board.

    Args:
        user_modules: with the native modules compiled in, brought up to date; else without, built
            once.

    Raises:
        BuildError: a source, a compiler or `make` is missing, or the build failed.
    """
    with build_tree(sources.MICROPYTHON) as tree:
        board = tree / "ports" / "qemu" / "boards" / "HARKEN"
        if not board.exists():
            board.mkdir()
            (board / "start.c").write_text(_START, encoding="utf-8")
            # The port's script knows no tables for unwinding; libgcc's divisions bring some along.
            script = (board.parent.parent / "mcu" / "arm" / "mps2.ld").read_text(encoding="utf-8")
            placed = script.replace("*(.rodata*)", "*(.rodata* .ARM.exidx*)")
            (board / "mps2.ld").write_text(placed, encoding="utf-8")
            (board / "mpconfigboard.mk").write_text(_BOARD, encoding="utf-8")
        options = ("BOARD=HARKEN", f"MICROPY_HEAP_SIZE={_HEAP_BYTES}")
        return _make(tree, "qemu", "firmware.elf", *options, user_modules=user_modules)


def _make(tree: Path, port: str, made: str, *options: str, user_modules: bool) -> Path:
    build = "build-user-modules" if user_modules else "build-plain"
    image = tree / "ports" / port / build / made
    if user_modules:
        opus = sources.obtain(sources.OPUS, CACHE)
        options += (f"USER_C_MODULES={NATIVE}", f"HARKEN_OPUS_SOURCE={opus}")
    elif image.exists():
        return image
    # Debian leaves the submodules out; this file tells `make` that they are fetched.
    (tree / "lib" / "micropython-lib" / "README.md").touch()
    jobs = f"-j{os.cpu_count() or 1}"
    folder = image.parent.parent
    run(["make", "-C", str(folder), jobs, f"BUILD={build}", "FROZEN_MANIFEST=", *options])
    return image
