"""Writes `spectrum_tables.h` and `noise_tables.h`: the constants of the post-filter.

Run as `python firmware/native/core/cleaner_tables.py`; a test compares the files with what it
makes. Logarithms are to base 2 in Q10 throughout, as in `log2.h`.
"""

from __future__ import annotations

import math
from pathlib import Path

RATE = 16000
FRAME = 320
BANDS = 40
LOW_HZ, HIGH_HZ = 125.0, 7500.0
ONE = 1024

SOFT_PLUS_END = 12
"""log2(1 + 2^-d) is nought, in Q10, from here on."""

# The tracker of noise (Gerkmann and Hendriks, 2012): the a-priori ratio that speech is taken to
# have, and the weight of one periodogram; theirs is 0.2 every 16 ms.
PRIOR_SNR = 10 ** (15 / 10)
NOISE_WEIGHT = 1 - 0.8 ** (10 / 16)
TRACK_FROM, TRACK_TO = -8, 5

E1_FROM, E1_TO = -6, 4

RAREST = 1 / 64
"""The least probability of speech that a bin is given, and one less the greatest."""


def window() -> list[int]:
    """Root of a Hann window, the rising half, Q15, [160]."""
    return [round(32768 * math.sin(math.pi * (n + 0.5) / FRAME)) for n in range(FRAME // 2)]


def soft_plus() -> list[int]:
    """log2(1 + 2^-d) for d from 0 to 12 in eighths, with a closing entry."""
    points = [round(ONE * math.log2(1 + 2 ** (-i / 8))) for i in range(SOFT_PLUS_END * 8 + 1)]
    return [*points, 0]


def presence(ratio: float) -> float:
    """Probability of speech, given power over noise (Gerkmann and Hendriks, 2012, eq. 18)."""
    rare = (1 + PRIOR_SNR) * math.exp(-ratio * PRIOR_SNR / (1 + PRIOR_SNR))
    return 1 / (1 + rare)


def _step(ratio: float) -> float:
    return math.log2(1 + NOISE_WEIGHT * (1 - presence(ratio)) * (ratio - 1))


def unbiased() -> float:
    """What to multiply ratios with so that noise (they are exponential then) moves nothing."""

    def drift(factor: float) -> float:
        width = 1 / 200
        places = [(i + 0.5) * width for i in range(4000)]
        return sum(_step(factor * x) * math.exp(-x) for x in places)

    low, high = 1.0, 3.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if drift(middle) < 0 else (low, middle)
    return low


def noise_step() -> list[int]:
    """By how much log2 of the noise moves (Q16), given log2 of power over noise in eighths."""
    factor = unbiased()
    steps = [
        round(65536 * _step(factor * 2 ** (i / 8))) for i in range(TRACK_FROM * 8, TRACK_TO * 8 + 1)
    ]
    return [*steps, steps[-1]]


def exponential_integral(v: float) -> float:
    """E1(v) = the integral of exp(-t) / t from v on, by its series or its continued fraction."""
    if v < 1.5:
        term, total = 1.0, -0.5772156649015329 - math.log(v)
        for n in range(1, 40):
            term *= -v / n
            total -= term / n
        return total
    fraction = 0.0
    for n in range(60, 0, -1):
        fraction = n / (1 + n / (v + fraction))
    return math.exp(-v) / (v + fraction)


def half_e1() -> list[int]:
    """E1(v) / 2 as log2, given log2(v) in eighths (Ephraim and Malah, 1985)."""
    points = [
        round(ONE * exponential_integral(2 ** (i / 8)) / 2 / math.log(2))
        for i in range(E1_FROM * 8, E1_TO * 8 + 1)
    ]
    return [*points, points[-1]]


def absence() -> list[int]:
    """log2 of the odds against speech, given its probability in 64ths, [65]."""
    odds: list[float] = []
    for i in range(65):
        probable = min(max(i / 64, RAREST), 1 - RAREST)
        odds.append((1 - probable) / probable)
    return [round(ONE * math.log2(value)) for value in odds]


def mel(hertz: float) -> float:
    """Frequency on the mel scale, as the speech features have it."""
    return 1127.0 * math.log1p(hertz / 700.0)


def band_centers() -> list[int]:
    """Where the speech features' mel bands have their middle, in bins of 50 Hz, Q8, [40]."""
    spacing = (mel(HIGH_HZ) - mel(LOW_HZ)) / (BANDS + 1)
    centers = [
        700.0 * math.expm1((mel(LOW_HZ) + spacing * (band + 1)) / 1127.0) for band in range(BANDS)
    ]
    return [round(256 * center * FRAME / RATE) for center in centers]


def _array(kind: str, name: str, values: list[int]) -> str:
    lines = [
        "    " + " ".join(f"{value}," for value in values[i : i + 12])
        for i in range(0, len(values), 12)
    ]
    return f"static const {kind} {name}[{len(values)}] = {{\n" + "\n".join(lines) + "\n};\n"


def _file(name: str, parts: list[str]) -> str:
    guard = f"HARKEN_{name.upper()}_H"
    lines = [
        "/* Written by cleaner_tables.py: change that, not this. */",
        f"#ifndef {guard}",
        f"#define {guard}",
        "",
        "#include <stdint.h>",
        "",
        *parts,
        "#endif",
        "",
    ]
    return "\n".join(lines)


def headers() -> dict[str, str]:
    """Name of each file, and the whole of it."""
    return {
        "spectrum_tables.h": _file(
            "spectrum_tables", [_array("uint16_t", "root_hann_q15", window())]
        ),
        "noise_tables.h": _file(
            "noise_tables",
            [
                "// Ends of what the tables below go over, log2 in Q10.",
                f"#define SOFT_PLUS_END {SOFT_PLUS_END * ONE}",
                f"#define TRACK_FROM ({TRACK_FROM * ONE})",
                f"#define TRACK_TO {TRACK_TO * ONE}",
                f"#define E1_FROM ({E1_FROM * ONE})",
                f"#define E1_TO {E1_TO * ONE}",
                "",
                _array("int16_t", "soft_plus_q10", soft_plus()),
                _array("int16_t", "noise_step_q16", noise_step()),
                _array("int16_t", "half_e1_q10", half_e1()),
                _array("int16_t", "absence_q10", absence()),
                _array("uint16_t", "band_center_q8", band_centers()),
            ],
        ),
    }


if __name__ == "__main__":
    for file_name, text in headers().items():
        Path(__file__).with_name(file_name).write_text(text, encoding="ascii")
