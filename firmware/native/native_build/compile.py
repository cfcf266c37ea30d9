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
    "-fvisibility=hidden",
    # Jump tables and the checked functions of the C library need relocations a `.mpy` lacks.
    "-fno-jump-tables",
    "-U_FORTIFY_SOURCE",
    "-DNO_QSTR",
    "-DMICROPY_ENABLE_DYNRUNTIME",
)
_SHARED = ("-fPIC", "-fno-stack-protector", "-fvisibility=hidden")


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
        f"-DMP_CONFIGFILE=<{names}>",
        f"-DMICROPY_FLOAT_IMPL=MICROPY_FLOAT_IMPL_{architecture.float_kind}",
        "-I.",
        "-isystem",
        upstream,
        "-Inative/glue",
    ]
    runtime = "native/glue/runtime.c"
    objects = _compile(tree, architecture, module, listed, [*listed.glue, runtime], flags)
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
    objects = _compile(
        tree, X64, module, listed, [], [*_COMMON, *_SHARED, *module.flags], folder="shared"
    )
    built = f"shared/{module.shared}"
    strict = ("-Wl,--gc-sections", "-Wl,--build-id=none", "-Wl,-z,defs", "-Wl,-z,relro,-z,now", "-s")
    run(["gcc", "-shared", f"-Wl,-soname,{module.shared}", *strict, "-o", built, *objects], cwd=tree)
    return tree / built


def _compile(
    tree: Path,
    architecture: Architecture,
    module: Module,
    listed: SourceList,
    extra: Sequence[str],
    flags: Sequence[str],
    folder: str = "",
) -> list[str]:
    includes = [f"-I{path}" for path in listed.includes]
    own = [(path, ()) for path in [*extra, *listed.portable]]
    theirs = [(path, module.third_party_flags) for path in listed.third_party]

    def one(job: tuple[str, tuple[str, ...]]) -> str:
        path, more = job
        target = f"{folder or architecture.name}/{path.replace('/', '_').removesuffix('.c')}.o"
        run(
            [architecture.compiler, *flags, *more, *includes, "-c", path, "-o", target],
            cwd=tree,
        )
        return target

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return list(pool.map(one, [*own, *theirs]))
