// Logarithm and exponential of base 2, by the leading bit and a parabola between powers of two. In Q10,
// 1024 is a factor of two (3.01 dB as power, 6.02 dB as amplitude); right to 0.03 dB of power.
#ifndef HARKEN_LOG2_H
#define HARKEN_LOG2_H

#include <stdint.h>

#include "bits.h"

#define LOG2_ONE 1024
// What stands for the logarithm of nought.
#define LOG2_ZERO (-16 * LOG2_ONE)
// dB of power, or of amplitude, as logarithm of a power, or of an amplitude.
#define LOG2_POWER_DB(db) ((int32_t)((db) * 340.1654))
#define LOG2_AMPLITUDE_DB(db) ((int32_t)((db) * 170.0827))

// 0.344 with as many bits as a fraction has.
#define LOG2_BOW_Q10 352
#define LOG2_BOW_Q16 22544

// The parabola that lifts a chord of log2 (or lowers one of 2^x) to the curve: 0.344 of x (1 - x). A
// fraction has up to 16 bits.
static inline uint32_t log2_bow(uint32_t fraction, int point, uint32_t bow) {
    return ((fraction * ((1u << point) - fraction)) >> point) * bow >> point;
}

// The bits after the leading one, which is at `exponent`.
static inline uint32_t log2_fraction(uint64_t value, int exponent, int point) {
    uint64_t shifted = exponent > point ? value >> (exponent - point) : value << (point - exponent);
    return (uint32_t)shifted & ((1u << point) - 1);
}

static inline int32_t log2_q10(uint64_t value) {
    if (value == 0) {
        return LOG2_ZERO;
    }
    int exponent = bit_length64(value) - 1;
    uint32_t fraction = log2_fraction(value, exponent, 10);
    return (int32_t)((uint32_t)exponent << 10) + (int32_t)(fraction + log2_bow(fraction, 10, LOG2_BOW_Q10));
}

// In Q8, of what is not 0, by a parabola of 16 bits: right to 0.02 dB of power.
static inline int32_t log2_q8(uint64_t value) {
    int exponent = bit_length64(value) - 1;
    uint32_t fraction = log2_fraction(value, exponent, 16);
    return (exponent << 8) + (int32_t)((fraction + log2_bow(fraction, 16, LOG2_BOW_Q16)) >> 8);
}

// 2^(x / 1024) with `point` bits after the binary point; at most 2^31 of them, 0 where it is too small.
static inline uint32_t exp2_q10(int32_t x, int point) {
    uint32_t fraction = (uint32_t)x & 1023;
    uint32_t mantissa = (1024 + fraction - log2_bow(fraction, 10, LOG2_BOW_Q10)) << 6;
    int shift = (x >> 10) + point - 16;
    if (shift >= 15) {
        return 0x80000000u;
    }
    if (shift >= 0) {
        return mantissa << shift;
    }
    return shift > -18 ? mantissa >> -shift : 0;
}

#endif
