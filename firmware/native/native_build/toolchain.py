"""The architectures, their compilers, and what of them is missing on this machine."""

from __future__ import annotations

import importlib.util
import os
import shutil
from dataclasses import dataclass

from .errors import BuildError
from .run import run

APT_DEADLINE_S = 900.0


@dataclass(frozen=True)
class Architecture:
    """One processor family a native `.mpy` is built for."""

    name: str
    prefix: str
    """What the compiler's programs start with, empty for this machine's own."""
    flags: tuple[str, ...]
    float_kind: str
    """The MicroPython float of boards with this processor: `NONE`, `FLOAT` or `DOUBLE`."""

    @property
    def compiler(self) -> str:
        """The C compiler's program name."""
        return f"{self.prefix}gcc"


X64 = Architecture("x64", "", ("-fno-stack-protector",), "DOUBLE")
ARCHITECTURES = {
    "x64": X64,
    "armv6m": Architecture("armv6m", "arm-none-eabi-", ("-mthumb", "-mcpu=cortex-m0"), "NONE"),
    "armv7emsp": Architecture(
        "armv7emsp",
        "arm-none-eabi-",
        ("-mthumb", "-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"),
        "FLOAT",
    ),
}

_DEBIAN_PACKAGES: dict[str, tuple[str, ...]] = {
    "gcc": ("gcc", "libc6-dev"),
    "ld": ("binutils",),
    "arm-none-eabi-gcc": ("gcc-arm-none-eabi", "libnewlib-arm-none-eabi"),
    "arm-none-eabi-ld": ("binutils-arm-none-eabi",),
}


def require(architectures: list[Architecture], *, install: bool) -> None:
    """See that every program and Python package the build needs is here.

    Args:
        architectures: what will be built.
        install: fetch missing Debian packages where this is Debian or Ubuntu and we are root.

    Raises:
        BuildError: naming what is missing and the command that provides it.
    """
    if importlib.util.find_spec("elftools") is None:
        raise BuildError(
            "the Python package pyelftools is missing: run `pip install --group native` in this "
            "project's virtual environment (`make setup` does)"
        )
    packages = _missing_packages(architectures)
    if not packages:
        return
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *packages]
    if not (install and os.geteuid() == 0 and shutil.which("apt-get")):
        raise BuildError(f"missing: {', '.join(packages)}. As root: {' '.join(command)}")
    print(f"installing {', '.join(packages)}", flush=True)
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "update"], extra_env=quiet, deadline_s=APT_DEADLINE_S)
    run(command, extra_env=quiet, deadline_s=APT_DEADLINE_S)
    still = _missing_packages(architectures)
    if still:
        raise BuildError(f"{', '.join(still)} installed, yet not usable: look at `{command[0]}`")


def _missing_packages(architectures: list[Architecture]) -> list[str]:
    missing: list[str] = []
    for architecture in architectures:
        for tool in (architecture.compiler, f"{architecture.prefix}ld"):
            if shutil.which(tool) is None:
                missing += _DEBIAN_PACKAGES[tool]
        if shutil.which(architecture.compiler) and not _has_c_library(architecture):
            missing += _DEBIAN_PACKAGES[architecture.compiler]
    return list(dict.fromkeys(missing))


def _has_c_library(architecture: Architecture) -> bool:
    try:
        run([architecture.compiler, "-E", "-include", "string.h", "-x", "c", os.devnull])
    except BuildError:
        return False
    return True


def versions(architecture: Architecture) -> dict[str, str]:
    """Name and version of the compiler and linker, as they say it themselves."""
    return {
        tool: run([tool, "--version"]).splitlines()[0]
        for tool in (architecture.compiler, f"{architecture.prefix}ld")
    }
