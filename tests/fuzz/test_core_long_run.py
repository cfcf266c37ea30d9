"""What the audio core counts comes to its end without anybody hearing it, after days or years."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.native, pytest.mark.timeout(240)]


def test_counters_end_without_a_sound(sanitized: Callable[[str], Path]) -> None:
    done = subprocess.run(
        [str(sanitized("core_long_run"))], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert int(done.stdout) == 800
