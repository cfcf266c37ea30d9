"""The files for ports that CMake builds compile the modules, read by MicroPython's own CMake."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ROOT

pytestmark = [pytest.mark.integration, pytest.mark.native, pytest.mark.timeout(400)]

NATIVE = ROOT / "firmware" / "native"
# The unix port's headers stand in for a board's; no port that CMake builds can be built here.
PROJECT = """\
cmake_minimum_required(VERSION 3.13)
project(image C)
include({tree}/py/usermod.cmake)
message("SCANNED: ${{MICROPY_SOURCE_USERMOD}}")
add_library(image OBJECT)
target_link_libraries(image usermod)
target_include_directories(image PRIVATE {tree} {port} {port}/variants/standard {build})
add_custom_target(everything ALL DEPENDS image harken_core_library harken_opus_library)
"""


def test_cmake_builds_both_modules(tmp_path: Path) -> None:
    if shutil.which("cmake") is None:
        pytest.skip("no CMake: apt-get install cmake")
    image = Path(run(sys.executable, NATIVE / "build.py", "--print", "unix-image").splitlines()[-1])
    port = image.parents[1]
    text = PROJECT.format(tree=port.parents[1], port=port, build=image.parent)
    (tmp_path / "CMakeLists.txt").write_text(text, encoding="utf-8")
    build = tmp_path / "build"
    user_modules = f"-DUSER_C_MODULES={NATIVE / 'micropython.cmake'}"
    told = run("cmake", "-S", tmp_path, "-B", build, user_modules)
    modules = [NATIVE / name / "module.c" for name in ("core", "opus")]
    scanned = next(line for line in told.splitlines() if line.startswith("SCANNED: "))
    assert scanned.removeprefix("SCANNED: ").split(";") == [str(path) for path in modules]
    run("cmake", "--build", build, "--parallel", "2")
    core = {path.name for path in (NATIVE / "core").glob("*.c")} - {"module.c"}
    archived = run("ar", "t", build / "libharken_core_library.a").split()
    assert set(archived) == {f"{name}.o" for name in core}
    symbols = run("nm", "--defined-only", build / "libharken_opus_library.a")
    assert " opus_encode\n" in symbols
    assert " opus_decode\n" in symbols


def run(*command: str | Path) -> str:
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr
