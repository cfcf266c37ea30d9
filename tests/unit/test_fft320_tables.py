"""The constants of the transform of 320 samples."""

from __future__ import annotations

import runpy
from pathlib import Path

CORE = Path(__file__).resolve().parents[2] / "firmware" / "native" / "core"


def test_the_twiddle_factors_are_what_their_formulas_give() -> None:
    tables = runpy.run_path(str(CORE / "fft320_tables.py"))
    assert (CORE / "fft320_tables.h").read_text("ascii") == tables["header"]()
