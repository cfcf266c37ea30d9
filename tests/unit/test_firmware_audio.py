"""The device's audio, run by the real MicroPython in its real heap with the real codec."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("micropython_unix", reason="pip install 'harken[rig]'")

from harken_hil.micropython import firmware_paths, run_script

CASES = ("audio_cases",)
_FOLDER = Path(__file__).parents[1] / "data" / "micropython"


def test_audio(micropython_case: tuple[str, str]) -> None:
    result = run_script(
        _FOLDER / "run_case.py", *micropython_case, paths=[_FOLDER, *firmware_paths()]
    )
    assert result.status == 0, result.output
