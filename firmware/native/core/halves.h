// Arithmetic of pairs of 16-bit numbers, and saturation: plain C, and the same by what a Cortex-M4 has for them.
//
// All variants round alike (down), so they agree to the last bit.
#ifndef HARKEN_HALVES_H
#define HARKEN_HALVES_H

#include <stdint.h>

#if defined(__ARM_FEATURE_DSP)
#include <arm_acle.h>
#include <string.h>
#endif

typedef struct {
    int16_t r;
    int16_t i;
} halves;

// Half of a last bit, before a product of Q15 is shifted back.
#define HALVES_ROUND (1 << 14)

#if defined(__ARM_FEATURE_DSP)

static inline int32_t halves_packed(halves pair) {
    int32_t packed;
    memcpy(&packed, &pair, sizeof(packed));
    return packed;
}

static inline halves halves_of(int32_t packed) {
    halves pair;
    memcpy(&pair, &packed, sizeof(pair));
    return pair;
}

// Sums and differences wrap around.
static inline halves halves_sum(halves a, halves b) {
    return halves_of(__sadd16(halves_packed(a), halves_packed(b)));
}

static inline halves halves_difference(halves a, halves b) {
    return halves_of(__ssub16(halves_packed(a), halves_packed(b)));
}

// a + jb and a - jb
static inline halves halves_sum_j(halves a, halves b) {
    return halves_of(__sasx(halves_packed(a), halves_packed(b)));
}

static inline halves halves_difference_j(halves a, halves b) {
    return halves_of(__ssax(halves_packed(a), halves_packed(b)));
}

// Times a factor below a half, Q15, rounded.
static inline halves halves_scaled(halves a, int32_t factor) {
    int32_t r = __smlabb(halves_packed(a), 2 * factor, 2 * HALVES_ROUND);
    int32_t i = __smlatb(halves_packed(a), 2 * factor, 2 * HALVES_ROUND);
    return halves_of((int32_t)(((uint32_t)i & 0xffff0000) | (uint32_t)r >> 16));
}

// Of complex numbers, Q15, rounded.
static inline halves halves_product(halves a, halves b) {
    int32_t r = __smlsd(halves_packed(a), halves_packed(b), HALVES_ROUND);
    int32_t i = __smladx(halves_packed(a), halves_packed(b), HALVES_ROUND);
    return (halves){(int16_t)(r >> 15), (int16_t)(i >> 15)};
}

// sum + (a * pair.r >> 16)
static inline int32_t halves_add_r(int32_t sum, int32_t a, halves pair) {
    return __smlawb(a, halves_packed(pair), sum);
}

static inline int32_t halves_add_i(int32_t sum, int32_t a, halves pair) {
    return __smlawt(a, halves_packed(pair), sum);
}

// Real and imaginary part of `a` times the conjugate of `b`; both are within 15 bits and a sign.
static inline int32_t halves_turned_r(halves a, halves b) {
    return __smuad(halves_packed(a), halves_packed(b));
}

static inline int32_t halves_turned_i(halves a, halves b) {
    return __smusdx(halves_packed(b), halves_packed(a));
}

// The sum, or the nearest number of 32 bits.
static inline int32_t saturated_sum(int32_t a, int32_t b) {
    return __qadd(a, b);
}

// The nearest number of 30 bits, its sign included.
static inline int32_t within_30_bits(int32_t a) {
    return (int32_t)__builtin_arm_ssat(a, 30);
}

#else

static inline halves halves_sum(halves a, halves b) {
    return (halves){(int16_t)(a.r + b.r), (int16_t)(a.i + b.i)};
}

static inline halves halves_difference(halves a, halves b) {
    return (halves){(int16_t)(a.r - b.r), (int16_t)(a.i - b.i)};
}

static inline halves halves_sum_j(halves a, halves b) {
    return (halves){(int16_t)(a.r - b.i), (int16_t)(a.i + b.r)};
}

static inline halves halves_difference_j(halves a, halves b) {
    return (halves){(int16_t)(a.r + b.i), (int16_t)(a.i - b.r)};
}

static inline int16_t halves_rounded(int32_t product) {
    return (int16_t)((product + HALVES_ROUND) >> 15);
}

static inline halves halves_scaled(halves a, int32_t factor) {
    return (halves){halves_rounded(a.r * factor), halves_rounded(a.i * factor)};
}

static inline halves halves_product(halves a, halves b) {
    return (halves){halves_rounded(a.r * b.r - a.i * b.i), halves_rounded(a.r * b.i + a.i * b.r)};
}

// In 32 bits, as processors without a wide multiplication have them.
static inline int32_t halves_times(int32_t a, int32_t half) {
    return (a >> 16) * half + (((a & 0xffff) * half) >> 16);
}

static inline int32_t halves_add_r(int32_t sum, int32_t a, halves pair) {
    return sum + halves_times(a, pair.r);
}

static inline int32_t halves_add_i(int32_t sum, int32_t a, halves pair) {
    return sum + halves_times(a, pair.i);
}

static inline int32_t halves_turned_r(halves a, halves b) {
    return a.r * b.r + a.i * b.i;
}

static inline int32_t halves_turned_i(halves a, halves b) {
    return a.i * b.r - a.r * b.i;
}

static inline int32_t saturated_sum(int32_t a, int32_t b) {
    int64_t sum = (int64_t)a + b;
    return (int32_t)(sum > INT32_MAX ? INT32_MAX : sum < INT32_MIN ? INT32_MIN : sum);
}

static inline int32_t within_30_bits(int32_t a) {
    int32_t least = -(1 << 29);
    return a > ~least ? ~least : a < least ? least : a;
}

#endif

static inline uint32_t halves_power(halves pair) {
    return (uint32_t)halves_turned_r(pair, pair);
}

#endif
