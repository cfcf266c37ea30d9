"""Runs a fuzzer for a few seconds; CI gives it a minute by `HARKEN_FUZZ_SECONDS=60`."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


@pytest.fixture
def fuzz(tmp_path: Path) -> Callable[[str, Iterable[bytes]], None]:
    """Runs the fuzzer of a name on a corpus that begins with some seeds; fails where it does."""
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("needs atheris: `make setup`")

    def run(name: str, seeds: Iterable[bytes]) -> None:
        seconds = int(os.environ.get("HARKEN_FUZZ_SECONDS", "5"))
        corpus = tmp_path / "corpus"
        corpus.mkdir()
        for number, seed in enumerate(seeds):
            (corpus / str(number)).write_bytes(seed)
        command = [
            *(sys.executable, str(Path(__file__).with_name(f"{name}.py"))),
            *(f"-max_total_time={seconds}", "-timeout=5", f"-artifact_prefix={tmp_path}/"),
            str(corpus),
        ]
        done = subprocess.run(
            command,
            env={**os.environ, "TMPDIR": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=seconds + 60,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3_000:]

    return run
