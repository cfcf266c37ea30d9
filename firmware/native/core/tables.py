"""Writes `feature_tables.h`: the constants of the speech features.

The reference computes them at start, in C, partly in single precision (TensorFlow Lite
Micro, `experimental/microfrontend`); each formula below rounds where that C does, because
one weight that is off by one makes features that differ. A board then needs no float.

Run as `python firmware/native/core/tables.py`; a test compares the file with what it prints.
"""

from __future__ import annotations

import base64
import math
from pathlib import Path

import numpy as np

RATE = 16000
WINDOW = 480
FFT = 512
CHANNELS = 40
LOW_HZ = 125.0
HIGH_HZ = 7500.0
WEIGHT_ONE = 1 << 12
Q15 = 32767
GAIN_BITS = 21
GAIN_STRENGTH = np.float32(0.95)
GAIN_OFFSET = np.float32(80.0)
NOISE_INPUT_BITS = 7
LOG_SEGMENTS = 128

f32 = np.float32

VIPER = '''"""Written by firmware/native/core/tables.py: change that, not this."""

from binascii import a2b_base64

_TABLES = (
{lines}
)


def tables() -> bytes:
    """Window, twiddles, bands and curves of the speech features, 16 bits each, little-endian."""
    return a2b_base64(_TABLES)
'''


def window() -> list[int]:
    """Hann window, Q12, [480]."""
    step = f32(math.pi * 2.0 / WINDOW)
    cosines = [f32(math.cos(float(step * f32(i + 0.5)))) for i in range(WINDOW)]
    values = [f32(0.5) - f32(0.5) * cosine for cosine in cosines]
    return [math.floor(float(value * f32(WEIGHT_ONE)) + 0.5) for value in values]


def twiddles(count: int, phase_of: float, offset: float, size: int) -> list[int]:
    """exp(j phase) in Q15, real and imaginary parts in turn, [2 * count]."""
    flat: list[int] = []
    for i in range(count):
        phase = phase_of * ((i + offset) / size + (0.5 if offset else 0.0))
        flat += [math.floor(0.5 + Q15 * math.cos(phase)), math.floor(0.5 + Q15 * math.sin(phase))]
    return flat


# log1p by Sun's fdlibm in single precision, as the C library that made the reference has it: it
# is not always rounded correctly, and three weights of the filter bank show it.
_LN2_HIGH, _LN2_LOW = f32(6.9313812256e-01), f32(9.0580006145e-06)
_LOG_SERIES = [
    f32(value)
    for value in (
        6.6666668653e-01,
        4.0000000596e-01,
        2.8571429849e-01,
        2.2222198546e-01,
        1.8183572590e-01,
        1.5313838422e-01,
        1.4798198640e-01,
    )
]


def log1p_single(x: np.float32) -> np.float32:
    """log(1 + x) for x in 0.1 to 100, in single precision throughout."""
    one, half, two = f32(1), f32(0.5), f32(2)
    exponent, correction, f = 0, f32(0), x
    if x >= f32(0.41421356):
        u = one + x
        mantissa, power = math.frexp(float(u))
        exponent = power - 1
        correction = (one - (u - x) if exponent > 0 else x - (u - one)) / u
        u = f32(2 * mantissa)
        if u >= f32(math.sqrt(2)):
            exponent, u = exponent + 1, u * half
        f = u - one
    half_square = half * f * f
    s = f / (two + f)
    z = s * s
    series = f32(0)
    for term in reversed(_LOG_SERIES):
        series = z * (term + series)
    if exponent == 0:
        return f - (half_square - s * (half_square + series))
    k = f32(exponent)
    low = k * _LN2_LOW + correction
    return k * _LN2_HIGH - ((half_square - (s * (half_square + series) + low)) - f)


def mel(hertz: float | np.float32) -> np.float32:
    """Frequency on the mel scale."""
    return f32(1127.0) * log1p_single(f32(hertz) / f32(700.0))


def mel_bands() -> tuple[int, list[int], list[int], list[int]]:
    """First bin, bins of each band, and the weight of each bin for its band and the next one.

    Band `i` of 41 falls from the centre of channel `i - 1` to that of channel `i`: a bin's
    weight goes to the lower channel, the rest to the upper one (Q12).
    """
    low, high = mel(LOW_HZ), mel(HIGH_HZ)
    spacing = f32(f32(high - low) / f32(CHANNELS + 1))
    centers = [f32(low + f32(spacing * f32(i + 1))) for i in range(CHANNELS + 1)]
    hertz_per_bin = f32(0.5 * RATE / float(f32(FFT / 2)))
    first = int(1.5 + LOW_HZ / float(hertz_per_bin))
    widths: list[int] = []
    weights: list[int] = []
    unweights: list[int] = []
    at = first
    for band, center in enumerate(centers):
        below = low if band == 0 else centers[band - 1]
        start = at
        while mel(f32(at) * hertz_per_bin) <= center:
            weight = f32(f32(center - mel(f32(at) * hertz_per_bin)) / f32(center - below))
            weights.append(math.floor(float(weight * f32(WEIGHT_ONE)) + 0.5))
            unweights.append(math.floor((1.0 - float(weight)) * WEIGHT_ONE + 0.5))
            at += 1
        widths.append(at - start)
    return first, widths, weights, unweights


def gain(noise: int) -> int:
    """Per-channel gain (PCAN) for a noise estimate, as int16."""
    level = f32(f32(noise) / f32(1 << NOISE_INPUT_BITS))
    power = f32(math.pow(float(f32(level + GAIN_OFFSET)), float(-GAIN_STRENGTH)))
    value = f32(f32(1 << GAIN_BITS) * power)
    return Q15 if value > Q15 else int(f32(value + f32(0.5)))


def gain_curve() -> list[int]:
    """Gain as parabolas over octaves: for 0, 1, then (base, slope, curve, unused) each."""
    table = [gain(0), gain(1)]
    for octave in range(2, 33):
        start = 1 << (octave - 1)
        end = start + (start - 1) if octave == 32 else 2 * start
        base, middle, last = gain(start), gain(start + (start >> 1)), gain(end)
        slope = 4 * (middle - base) - (last - base)
        table += [base, slope, (last - base) - slope, 0]
    return table[:-1]


def log_curve() -> list[int]:
    """log2(1 + x) - x over [0, 1] in 128 segments, Q16, with a closing entry, [130]."""
    points = [
        round((math.log2(1 + i / LOG_SEGMENTS) - i / LOG_SEGMENTS) * 65536)
        for i in range(LOG_SEGMENTS + 1)
    ]
    return [*points, 0]


def _array(kind: str, name: str, values: list[int]) -> str:
    lines = [
        "    " + " ".join(f"{value}," for value in values[i : i + 12])
        for i in range(0, len(values), 12)
    ]
    return f"static const {kind} {name}[{len(values)}] = {{\n" + "\n".join(lines) + "\n};\n"


def header() -> str:
    """The whole file."""
    first, widths, weights, unweights = mel_bands()
    half = FFT // 2
    parts = [
        "/* Written by tables.py: change that, not this. */",
        "#ifndef HARKEN_FEATURE_TABLES_H",
        "#define HARKEN_FEATURE_TABLES_H",
        "",
        "#include <stdint.h>",
        "",
        f"#define BAND_FIRST_BIN {first}",
        "",
        _array("int16_t", "window_q12", window()),
        _array("int16_t", "fft_twiddles", twiddles(3 * half // 4, -2 * math.pi, 0, half)),
        _array("int16_t", "split_twiddles", twiddles(half // 2, -math.pi, 1, half)),
        _array("uint8_t", "band_widths", widths),
        _array("int16_t", "band_weights", weights),
        _array("int16_t", "band_unweights", unweights),
        _array("int16_t", "gain_curve", gain_curve()),
        _array("uint16_t", "log_curve", log_curve()),
        "#endif",
        "",
    ]
    return "\n".join(parts)


def viper() -> str:
    """The whole of the same tables for MicroPython: 16 bits each, one after the other."""
    _, widths, weights, unweights = mel_bands()
    half = FFT // 2
    values = [
        *window(),
        *twiddles(3 * half // 4, -2 * math.pi, 0, half),
        *twiddles(half // 2, -math.pi, 1, half),
        *widths,
        *weights,
        *unweights,
        *gain_curve(),
        *log_curve(),
    ]
    data = base64.b64encode(b"".join((value & 0xFFFF).to_bytes(2, "little") for value in values))
    lines = [data[at : at + 92].decode() for at in range(0, len(data), 92)]
    return VIPER.format(lines="\n".join(f'    b"{line}"' for line in lines))


if __name__ == "__main__":
    Path(__file__).with_name("feature_tables.h").write_text(header(), encoding="ascii")
    device = Path(__file__).parents[2] / "harken_device"
    (device / "viper" / "tables.py").write_text(viper(), encoding="ascii")
