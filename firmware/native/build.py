#!/usr/bin/env python3
"""Builds the native modules, or compares a rebuild with the committed files.

Exit status: 0 done or equal, 1 failed or different, 3 not comparable (`--check` with other
compilers than the recorded ones).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from native_build import compile as build
from native_build import record, sources, toolchain
from native_build.errors import BuildError
from native_build.images import qemu_image, unix_image
from native_build.modules import CACHE, MODULES, ROOT, Module, prebuilt_mpy, prebuilt_shared
from native_build.reference import build_reference

if TYPE_CHECKING:
    from collections.abc import Callable

NOT_COMPARABLE = 3


def main() -> int:
    """Run the command line."""
    options = _parse()
    architectures = [toolchain.ARCHITECTURES[name] for name in options.arch]
    try:
        if options.print:
            _print_path(options.print, install=not options.no_install)
            return 0
        toolchain.require([toolchain.X64, *architectures], install=not options.no_install)
        compilers: dict[str, str] = {}
        for architecture in (toolchain.X64, *architectures):
            compilers.update(toolchain.versions(architecture))
        if options.check and (difference := _other_compilers(compilers)):
            print(f"not comparable: {difference}")
            return NOT_COMPARABLE
        built: dict[str, bytes] = {}
        for name in options.module:
            built.update(_build(MODULES[name], architectures))
    except BuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if options.check:
        return _compare(built)
    record.save(built, compilers)
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="rebuild aside and compare")
    parser.add_argument(
        "--print",
        choices=_PATHS,
        help="build that instead and print its path: upstream's own libopus, its source, or\n"
        "MicroPython with the modules compiled in, for this machine or the emulated board",
    )
    parser.add_argument("--module", action="append", choices=MODULES, help="only this one")
    parser.add_argument(
        "--arch", action="append", choices=toolchain.ARCHITECTURES, help="only this one"
    )
    parser.add_argument(
        "--no-install", action="store_true", help="never install missing Debian packages"
    )
    options = parser.parse_args()
    options.module = options.module or list(MODULES)
    options.arch = options.arch or list(toolchain.ARCHITECTURES)
    return options


def _print_path(name: str, *, install: bool) -> None:
    arm = [toolchain.ARCHITECTURES["armv7emsp"]] if name == "qemu-image" else []
    toolchain.require([toolchain.X64, *arm], install=install)
    print(_PATHS[name]())


_PATHS: dict[str, Callable[[], Path]] = {
    "reference": build_reference,
    "opus-source": lambda: sources.obtain(sources.OPUS, CACHE),
    "unix-image": unix_image,
    "qemu-image": lambda: qemu_image(user_modules=True),
}


def _build(module: Module, architectures: list[toolchain.Architecture]) -> dict[str, bytes]:
    built: dict[str, bytes] = {}
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="build-") as folder:
        tree = Path(folder)
        build.lay_out(tree, module)
        for architecture in architectures:
            path = build.build_mpy(tree, module, architecture)
            built[prebuilt_mpy(module, architecture.name).as_posix()] = path.read_bytes()
        if toolchain.X64 in architectures:
            path = build.build_shared(tree, module)
            built[prebuilt_shared(module).as_posix()] = path.read_bytes()
    for name, data in built.items():
        print(f"{len(data):8d} bytes  {name}", flush=True)
    return built


def _other_compilers(compilers: dict[str, str]) -> str:
    recorded = record.load()["compilers"]
    return "; ".join(
        f"{tool} here is `{version}`, the committed files were built with `{recorded.get(tool)}`"
        for tool, version in compilers.items()
        if recorded.get(tool) != version
    )


def _compare(built: dict[str, bytes]) -> int:
    different = [
        name
        for name, data in built.items()
        if not (ROOT / name).exists() or (ROOT / name).read_bytes() != data
    ]
    for name in different:
        print(f"different: {name} is not what its sources build to; run `make native`")
    if not different:
        print(f"equal: {len(built)} files")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
