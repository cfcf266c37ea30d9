// Positive numbers of any size: 31 bits and an exponent, for powers that span more than 64 bits.
#ifndef HARKEN_PSEUDO_FLOAT_H
#define HARKEN_PSEUDO_FLOAT_H

#include <stdint.h>

#include "bits.h"

// mantissa * 2^exponent; the mantissa is in [2^30, 2^31), or 0 for nought.
typedef struct {
    uint32_t mantissa;
    int32_t exponent;
} pseudo_float;

// value * 2^exponent
static inline pseudo_float pseudo_of(uint64_t value, int32_t exponent) {
    int over = bit_length64(value) - 31;
    if (value == 0) {
        return (pseudo_float){0, 0};
    }
    return (pseudo_float){(uint32_t)(over > 0 ? value >> over : value << -over), exponent + over};
}

static inline pseudo_float pseudo_sum(pseudo_float a, pseudo_float b) {
    if (a.mantissa == 0 || (b.mantissa != 0 && b.exponent > a.exponent)) {
        pseudo_float swapped = a;
        a = b;
        b = swapped;
    }
    int32_t apart = a.exponent - b.exponent;
    uint32_t least = b.mantissa != 0 && apart < 31 ? b.mantissa >> apart : 0;
    uint32_t sum = a.mantissa + least;
    return sum >> 31 ? (pseudo_float){sum >> 1, a.exponent + 1} : (pseudo_float){sum, a.exponent};
}

// a / 2^bits as a whole number, at most 2^32 - 1
static inline uint32_t pseudo_whole(pseudo_float a, int32_t bits) {
    int32_t shift = a.exponent - bits;
    if (a.mantissa == 0 || shift < -31) {
        return 0;
    }
    return shift > 0 ? UINT32_MAX : a.mantissa >> -shift;
}

#endif
