"""The fixed-point arithmetic of TensorFlow Lite Micro, done once on the host, at pack time.

Sources: TensorFlow Lite's `quantization_util` and `reference/integer_ops`, and gemmlowp's
`fixedpoint.h`, whose roundings these functions follow step by step. Python integers carry the
values; every one stays in int32 as there.
"""

from __future__ import annotations

import math

__all__ = ["float32", "logistic_table", "multiplier_of", "requantize_table", "scaled"]

_INT32_MIN, _INT32_MAX = -(1 << 31), (1 << 31) - 1
_LOGISTIC_INTEGER_BITS = 4


def float32(value: float) -> float:
    """The nearest float32."""
    import struct

    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def multiplier_of(real: float) -> tuple[int, int]:
    """A positive factor as `multiplier / 2**31 * 2**shift`: (multiplier, shift)."""
    if real == 0.0:
        return 0, 0
    fraction, shift = math.frexp(real)
    multiplier = math.floor(fraction * (1 << 31) + 0.5)
    if multiplier == 1 << 31:
        multiplier //= 2
        shift += 1
    return (0, 0) if shift < -31 else (multiplier, shift)


def scaled(value: int, multiplier: int, shift: int) -> int:
    """`value` times a factor of `multiplier_of`, rounded twice as gemmlowp does."""
    left, right = max(shift, 0), max(-shift, 0)
    return _divided_by_power(_high_product(_wrapped(value << left), multiplier), right)


def requantize_table(factor: float, zero_in: int, zero_out: int, least: int, most: int) -> bytes:
    """QUANTIZE of every int8, -128 first, as bytes (two's complement where negative)."""
    multiplier, shift = multiplier_of(factor)
    return bytes(
        min(max(scaled(value - zero_in, multiplier, shift) + zero_out, least), most) & 0xFF
        for value in range(-128, 128)
    )


def logistic_table(scale: float, zero_point: int) -> bytes:
    """LOGISTIC of every int8, -128 first, in steps of 1/256 from -128, as two's complement."""
    multiplier, shift = multiplier_of(scale * (1 << (31 - _LOGISTIC_INTEGER_BITS)))
    radius = math.floor(
        ((1 << _LOGISTIC_INTEGER_BITS) - 1) * (1 << (31 - _LOGISTIC_INTEGER_BITS)) / 2.0**shift
    )
    return bytes(
        _logistic(value - zero_point, radius, multiplier, shift) & 0xFF
        for value in range(-128, 128)
    )


def _logistic(value: int, radius: int, multiplier: int, shift: int) -> int:
    if value <= -radius:
        return -128
    if value >= radius:
        return 127
    probability = _logistic_q31(scaled(value, multiplier, shift))
    return min(max(_divided_by_power(probability, 31 - 8) - 128, -128), 127)


def _wrapped(value: int) -> int:
    return (value + (1 << 31)) % (1 << 32) - (1 << 31)


def _high_product(a: int, b: int) -> int:
    """(2 a b) / 2**32, to nearest: gemmlowp's saturating rounding doubling high multiply."""
    if a == b == _INT32_MIN:
        return _INT32_MAX
    return (a * b + (1 << 30)) >> 31


def _divided_by_power(value: int, exponent: int) -> int:
    """`value / 2**exponent`, to nearest, ties away from zero."""
    if exponent == 0:
        return value
    return (value + (1 << (exponent - 1)) - (value < 0)) >> exponent


def _saturated_shift(value: int, left: int) -> int:
    return min(max(value << left, _INT32_MIN), _INT32_MAX)


# exp(-2**k) for k = -2 .. 4, in Q31.
_EXP_STEPS = ((-2, 1672461947), (-1, 1302514674), (0, 790015084), (1, 290630308),
              (2, 39332535), (3, 720401))  # fmt: skip
_EXP_MINUS_EIGHTH = 1895147668
_ONE_THIRD = 715827883


def _logistic_q31(value: int) -> int:
    """1 / (1 + exp(-value)); value in Q4.27, result in Q31."""
    if value == 0:
        return 1 << 30
    positive = _reciprocal_of_one_plus(_exp_of_negative(-abs(value)))
    return positive if value > 0 else _INT32_MAX - positive


def _exp_of_negative(value: int) -> int:
    """exp(value) for value <= 0 in Q4.27, result in Q31."""
    if value == 0:
        return _INT32_MAX
    fraction_bits = 31 - _LOGISTIC_INTEGER_BITS
    quarter = 1 << (fraction_bits - 2)
    rest = (value & (quarter - 1)) - quarter
    result = _exp_near_zero(_saturated_shift(rest, _LOGISTIC_INTEGER_BITS))
    remainder = rest - value
    for exponent, factor in _EXP_STEPS:
        if remainder & (1 << (fraction_bits + exponent)):
            result = _high_product(result, factor)
    return result


def _exp_near_zero(value: int) -> int:
    """exp(value) for value in [-1/4, 0), all in Q31: a Taylor series around -1/8."""
    x = value + (1 << 28)
    x2 = _high_product(x, x)
    x3 = _high_product(x2, x)
    x4_quarter = _divided_by_power(_high_product(x2, x2), 2)
    series = _divided_by_power(_high_product(x4_quarter + x3, _ONE_THIRD) + x2, 1)
    return _EXP_MINUS_EIGHTH + _high_product(_EXP_MINUS_EIGHTH, x + series)


def _reciprocal_of_one_plus(value: int) -> int:
    """1 / (1 + value) for value in [0, 1], all in Q31, by three Newton steps in Q2.29."""
    total = value + _INT32_MAX
    half_denominator = (total + 1) // 2 if total >= 0 else -((1 - total) // 2)
    x = 1515870810 + _high_product(half_denominator, -1010580540)
    for _ in range(3):
        error = (1 << 29) - _high_product(half_denominator, x)
        x += _saturated_shift(_high_product(x, error), 2)
    return _saturated_shift(x, 1)
