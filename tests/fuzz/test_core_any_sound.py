"""No sound, and no order of switches, makes the audio core do what C does not define."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.native, pytest.mark.timeout(240)]

MODEL = Path(__file__).parents[2] / "models" / "harken_models" / "shipped" / "vad.hkm"


@pytest.mark.parametrize("seed", [1, 20_261])
def test_sounds_and_switches_by_chance(seed: int, sanitized: Callable[[str], Path]) -> None:
    seconds = int(os.environ.get("HARKEN_FUZZ_SECONDS", "4"))
    done = subprocess.run(
        [str(sanitized("core_any_sound")), str(MODEL), "chance", str(seconds), str(seed)],
        capture_output=True,
        text=True,
        timeout=seconds + 60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert int(done.stdout) > 500
