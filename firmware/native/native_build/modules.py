"""The modules, their sources and flags: the one table a change of the build starts from."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from . import sources

NATIVE = Path(__file__).resolve().parent.parent
ROOT = NATIVE.parent.parent
CACHE = ROOT / ".cache" / "native"

_OPUS_LISTS = (
    ("silk_sources.mk", "SILK_SOURCES"),
    ("silk_sources.mk", "SILK_SOURCES_FIXED"),
    ("celt_sources.mk", "CELT_SOURCES"),
)
_OPUS_FRONT = ("opus.c", "opus_decoder.c", "opus_encoder.c", "repacketizer.c")
_OPUS_INCLUDES = ("include", "celt", "silk", "silk/fixed")

WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Werror")


@dataclass(frozen=True)
class Module:
    """One native module: `<folder>/module.c` is its MicroPython glue, the rest is portable C."""

    name: str
    folder: str
    flags: tuple[str, ...]
    """For every source of the module."""
    mpy_flags: tuple[str, ...] = ()
    """For the native `.mpy` only."""
    processor_flags: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """For the native `.mpy` of one architecture, after all others."""
    shared: str = ""
    """File name of the shared library for CPython."""
    third_party: sources.Source | None = None
    third_party_flags: tuple[str, ...] = field(default=())
    """For the third party's own sources only."""


MODULES = {
    "core": Module(
        name="harken_core",
        folder="core",
        # A fused multiply-add rounds once instead of twice: results would differ by processor.
        flags=("-O2", "-ffp-contract=off", *WARNINGS),
        shared="libharken_core-x86_64.so",
    ),
    "opus": Module(
        name="harken_opus",
        folder="opus",
        flags=(
            "-O2",
            "-DOPUS_BUILD",
            "-DFIXED_POINT",
            "-DDISABLE_FLOAT_API",
            "-DVAR_ARRAYS",
            "-DENABLE_HARDENING",
            '-DPACKAGE_VERSION="1.3.1"',
        ),
        mpy_flags=(
            "-DOVERRIDE_celt_fatal",
            # Assertions raise instead of printing: their texts would cost 20 KB.
            "-Dcelt_fatal(text,file,line)=harken_opus_fault()",
        ),
        processor_flags={
            # Sixteen-bit multiplications in one instruction: a fifth fewer of them in all.
            "armv7emsp": ("-DOPUS_ARM_INLINE_ASM", "-DOPUS_ARM_INLINE_EDSP"),
            # As quick as -O2 there, and a sixth smaller.
            "armv6m": ("-Os",),
        },
        shared="libharken_opus-x86_64.so",
        third_party=sources.OPUS,
        third_party_flags=("-w",),
    ),
}


@dataclass(frozen=True)
class SourceList:
    """What of a module is compiled; paths are relative to the build folder."""

    glue: list[str]
    portable: list[str]
    third_party: list[str]
    includes: list[str]
    """As compiler flags."""


def source_list(module: Module, tree: Path) -> SourceList:
    """List the sources of `module` in the build folder `tree`."""
    folder = f"native/{module.folder}"
    portable = sorted(
        path.relative_to(tree).as_posix()
        for path in (tree / folder).glob("*.c")
        if path.name != "module.c"
    )
    includes = [folder]
    third_party: list[str] = []
    if module.third_party is not None:
        upstream = module.third_party.folder
        third_party = _opus_sources(tree, upstream)
        includes += [f"{upstream}/{name}" for name in _OPUS_INCLUDES]
    return SourceList(
        [f"{folder}/module.c"], portable, third_party, [f"-I{path}" for path in includes]
    )


def _opus_sources(tree: Path, upstream: str) -> list[str]:
    listed = [f"src/{name}" for name in _OPUS_FRONT]
    for makefile, variable in _OPUS_LISTS:
        text = (tree / upstream / makefile).read_text(encoding="utf-8").replace("\\\n", " ")
        found = re.search(rf"^{variable} *= *(.*)$", text, re.MULTILINE)
        assert found, f"{makefile} of {upstream} has no {variable}"
        listed += found[1].split()
    return [f"{upstream}/{name}" for name in listed]


def prebuilt_mpy(module: Module, architecture: str) -> Path:
    """Where the committed native `.mpy` lies, relative to the project's root."""
    return Path("firmware/harken_device/native") / architecture / f"{module.name}.mpy"


def prebuilt_shared(module: Module) -> Path:
    """Where the committed shared library lies, relative to the project's root."""
    return Path("models/harken_models/native") / module.shared
