"""Compiles and links the modules inside a build folder, by relative paths alone.

Relative paths, a fixed order of objects and no debug information make the result depend on the
sources and the compilers only, never on where or when it was built.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from . import sources
from .modules import CACHE, NATIVE, Module, SourceList, source_list
from .run import run
from .toolchain import X64, Architecture

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_COMMON = (
    "-std=gnu99",
    "-DNDEBUG",
    "-fno-common",
    "-ffunction-sections",
    "-fdata-sections",
    "-fno-asynchronous-unwind-tables",
    "-fno-ident",
)
_MPY = (
    "-fpic",
    # Jump tables and the checked functions of the C library need relocations a `.mpy` lacks.
    "-fno-jump-tables",
    "-U_FORTIFY_SOURCE",
    "-DNO_QSTR",
    "-DMICROPY_ENABLE_DYNRUNTIME",
)
_SHARED = ("-fPIC", "-fno-stack-protector")
_RUNTIME = "native/glue/runtime.c"
# The glue is compiled without: `mpy_ld.py` reaches zeroed variables only where they are visible.
_HIDDEN = ("-fvisibility=hidden",)


def lay_out(tree: Path, module: Module) -> None:
    """Put everything `module` is built from into the empty folder `tree`."""
    (tree / "native").symlink_to(NATIVE)
    wanted = [sources.MICROPYTHON]
    if module.third_party is not None:
        wanted.append(module.third_party)
    for source in wanted:
        (tree / source.folder).symlink_to(sources.obtain(source, CACHE))


def build_mpy(tree: Path, module: Module, architecture: Architecture) -> Path:
    """Build the native `.mpy` of `module` and return its path.

    Raises:
        BuildError: a compiler or the linker refused.
    """
    listed = source_list(module, tree)
    upstream = sources.MICROPYTHON.folder
    out = tree / architecture.name
    out.mkdir(exist_ok=True)
    names = f"{architecture.name}/{module.name}.config.h"
    linker = [sys.executable, f"{upstream}/tools/mpy_ld.py", "--arch", architecture.name]
    run([*linker, "--preprocess", "-o", names, *listed.glue], cwd=tree)
    flags = [
        *_COMMON,
        *_MPY,
        *architecture.flags,
        *module.flags,
        *module.mpy_flags,
        *module.processor_flags.get(architecture.name, ()),
        f"-DMP_CONFIGFILE=<{names}>",
        f"-DMICROPY_FLOAT_IMPL=MICROPY_FLOAT_IMPL_{architecture.float_kind}",
        "-I.",
        "-isystem",
        upstream,
        *listed.includes,
    ]
    jobs = [*((path, ()) for path in (*listed.glue, _RUNTIME)), *_plain_jobs(module, listed)]
    objects = _compile(tree, architecture, architecture.name, jobs, flags)
    joined = f"{architecture.name}/{module.name}.o"
    run(_partial_link(architecture, joined, objects), cwd=tree)
    built = f"{architecture.name}/{module.name}.mpy"
    run([*linker, "--qstrs", names, "-o", built, joined], cwd=tree)
    return tree / built


def _partial_link(architecture: Architecture, joined: str, objects: Sequence[str]) -> list[str]:
    """One object out of many, without what `mpy_init` never reaches.

    `mpy_ld.py` would take every section of every object; and on Arm the arithmetic the processor
    lacks comes from libgcc here.
    """
    libgcc = [] if architecture is X64 else ["-lgcc"]
    keep = ("-r", "-nostdlib", "-Wl,--gc-sections", "-Wl,-e,mpy_init")
    return [architecture.compiler, *architecture.flags, *keep, "-o", joined, *objects, *libgcc]


def build_shared(tree: Path, module: Module) -> Path:
    """Build the shared library of `module` for this machine's CPython and return its path.

    Raises:
        BuildError: the compiler or the linker refused.
    """
    listed = source_list(module, tree)
    (tree / "shared").mkdir(exist_ok=True)
    flags = [*_COMMON, *_SHARED, *module.flags, *listed.includes]
    objects = _compile(tree, X64, "shared", _plain_jobs(module, listed), flags)
    built = f"shared/{module.shared}"
    linker = ("--gc-sections", "--build-id=none", "-z,defs", "-z,relro", "-z,now")
    options = [f"-Wl,{option}" for option in (*linker, f"-soname,{module.shared}")]
    run([X64.compiler, "-shared", *options, "-s", "-o", built, *objects], cwd=tree)
    return tree / built


def _compile(
    tree: Path,
    architecture: Architecture,
    folder: str,
    jobs: Sequence[tuple[str, tuple[str, ...]]],
    flags: Sequence[str],
) -> list[str]:
    """Compile each (source, its own flags) and return the objects in the same order."""

    def one(job: tuple[str, tuple[str, ...]]) -> str:
        source, own = job
        target = f"{folder}/{source.replace('/', '_').removesuffix('.c')}.o"
        run([architecture.compiler, *flags, *own, "-c", source, "-o", target], cwd=tree)
        return target

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return list(pool.map(one, jobs))


def _plain_jobs(module: Module, listed: SourceList) -> list[tuple[str, tuple[str, ...]]]:
    """The sources that know nothing of MicroPython."""
    return [
        *((path, _HIDDEN) for path in listed.portable),
        *((path, (*_HIDDEN, *module.third_party_flags)) for path in listed.third_party),
    ]
