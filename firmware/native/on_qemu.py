#!/usr/bin/env python3
"""Runs a MicroPython script on an emulated Cortex-M4F, with the native modules of a board.

    python firmware/native/on_qemu.py --arch armv7emsp --file clip.raw script.py

The script imports `harken_core` and `harken_opus`, and opens `/files/clip.raw`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from native_build import qemu, toolchain
from native_build.errors import BuildError
from native_build.modules import MODULES, ROOT, prebuilt_mpy


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        formatter_class=argparse.RawTextHelpFormatter, description=__doc__
    )
    parser.add_argument("script", type=Path)
    parser.add_argument("--arch", choices=["armv6m", "armv7emsp"], default="armv7emsp")
    parser.add_argument(
        "--file", action="append", default=[], help="for the script: FILE, or NAME_THERE=FILE"
    )
    parser.add_argument("--deadline", type=float, default=60.0, help="seconds")
    parser.add_argument(
        "--count", action="store_true", help="one instruction is 1 ns: SysTick counts them"
    )
    parser.add_argument(
        "--user-modules", action="store_true", help="compiled into the image instead of loaded"
    )
    options = parser.parse_args()
    built = [ROOT / prebuilt_mpy(module, options.arch) for module in MODULES.values()]
    loaded = [] if options.user_modules else built
    files = {path.name: path for path in loaded if path.exists()}
    for given in options.file:
        name, found, path = given.rpartition("=")
        files[name if found else Path(path).name] = Path(path)
    try:
        toolchain.require([toolchain.ARCHITECTURES[options.arch]], install=False)
        script = options.script.read_text(encoding="utf-8")
        told = qemu.run_script(
            script,
            files,
            options.deadline,
            counting=options.count,
            aligned=options.arch == "armv6m" and not options.user_modules,
            user_modules=options.user_modules,
        )
        print(told, end="")
    except BuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
