"""Writes `fft320_tables.h`: the twiddle factors of the transform of 320 real samples.

Run as `python firmware/native/core/fft320_tables.py`; a test compares the file with what it prints.
"""

from __future__ import annotations

import math
from pathlib import Path

REAL = 320
COMPLEX = REAL // 2
ONE = 1 << 31


def twiddles(count: int, size: int) -> list[int]:
    """exp(-2 pi j k / size) for k below `count`, real and imaginary parts in turn, Q31."""
    flat: list[int] = []
    for k in range(count):
        angle = -2 * math.pi * k / size
        flat += [min(round(ONE * part(angle)), ONE - 1) for part in (math.cos, math.sin)]
    return flat


def slots() -> list[int]:
    """Where each complex sample goes before the first stage."""
    return [40 * (n & 3) + 10 * (n >> 2 & 3) + 5 * (n >> 4 & 1) + (n >> 5) for n in range(COMPLEX)]


def _array(name: str, values: list[int], kind: str = "int32_t") -> str:
    lines = [
        "    " + " ".join(f"{value}," for value in values[i : i + 8])
        for i in range(0, len(values), 8)
    ]
    return f"static const {kind} {name}[{len(values)}] = {{\n" + "\n".join(lines) + "\n};\n"


def header() -> str:
    """The whole file."""
    parts = [
        "/* Written by fft320_tables.py: change that, not this. */",
        "#ifndef HARKEN_FFT320_TABLES_H",
        "#define HARKEN_FFT320_TABLES_H",
        "",
        "#include <stdint.h>",
        "",
        _array("twiddles_q31", twiddles(3 * COMPLEX // 4, COMPLEX)),
        _array("split_twiddles_q31", twiddles(REAL // 4 + 1, REAL)),
        _array("slots", slots(), "uint8_t"),
        "#endif",
        "",
    ]
    return "\n".join(parts)


if __name__ == "__main__":
    Path(__file__).with_name("fft320_tables.h").write_text(header(), encoding="ascii")
