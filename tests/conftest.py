"""What every test shares: a missing capability skips a test on a desk, and fails it in CI."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_TESTS = Path(__file__).parent
_CORE = _TESTS.parent / "firmware" / "native" / "core"
_SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")

# CI installs everything, so there a skip means that the machine's set-up is broken.
_SKIPS_FAIL = os.environ.get("CI", "").lower() in {"1", "true"}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn skips into failures where everything must be there."""
    report = yield
    if _SKIPS_FAIL and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"skipped, but in CI nothing may be missing: {reason}"
    return report


@pytest.fixture(scope="session")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Builds a program of `tests/fuzz` with the audio core, to stop at any undefined behaviour."""
    if shutil.which("gcc") is None:
        pytest.skip("no compiler: apt-get install gcc")
    folder = tmp_path_factory.mktemp("sanitized")
    sources = sorted(path for path in _CORE.glob("*.c") if path.name != "module.c")

    def build(name: str) -> Path:
        built = folder / name
        if not built.exists():
            flags = ("-std=gnu99", "-g", "-O1", *_SANITIZERS, f"-I{_CORE}")
            program = _TESTS / "fuzz" / f"{name}.c"
            command = ["gcc", *flags, "-o", str(built), str(program), *map(str, sources)]
            subprocess.run(command, check=True, timeout=200)
        return built

    return build
