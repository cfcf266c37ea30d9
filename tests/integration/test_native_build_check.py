"""The committed native files are what their sources build to."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.native]

BUILD = Path(__file__).resolve().parents[2] / "firmware" / "native" / "build.py"
OTHER_COMPILERS = 3


@pytest.mark.timeout(400)
@pytest.mark.parametrize("module", ["core", "opus"])
def test_a_rebuild_gives_the_committed_files(module: str) -> None:
    if shutil.which("arm-none-eabi-gcc") is None:
        pytest.skip("no Arm compiler: run `make native` as root, or install gcc-arm-none-eabi")
    done = subprocess.run(
        [sys.executable, str(BUILD), "--check", "--no-install", "--module", module],
        capture_output=True,
        text=True,
        timeout=390,
        check=False,
    )
    if done.returncode == OTHER_COMPILERS:
        pytest.skip(f"{done.stdout.strip()}; `make native` records this machine's compilers")
    assert done.returncode == 0, done.stdout + done.stderr
