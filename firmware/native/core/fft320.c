#include "fft320.h"

#include "fft320_tables.h"

#define HALF_SIZE (FFT320 / 2)

// What stands between the samples of a pair's five values.
#define FIVE_APART (HALF_SIZE / 5)

#define Q31(value) ((int32_t)((value) * 2147483648.0 + ((value) < 0 ? -0.5 : 0.5)))
#define COS_72 Q31(0.30901699437494742)
#define COS_144 Q31(-0.80901699437494742)
#define SIN_72 Q31(0.95105651629515357)
#define SIN_144 Q31(0.58778525229247313)
#define TWO_FIFTHS Q31(0.8) // by `half_dot`

// Half of two products' sum, Q31, rounded: the upper of two words, so that nothing need be shifted. What is
// lost with the last bit is made up for by the bits that the transform keeps below the samples'.
static inline int32_t half_dot(int32_t a, int32_t b, int32_t c, int32_t d) {
    int64_t sum = (int64_t)a * b + (int64_t)c * d;
    return (int32_t)(sum >> 32) + (int32_t)((uint32_t)sum >> 31);
}

static inline complex32 half_turned(complex32 a, const int32_t *twiddle) {
    int32_t r = twiddle[0];
    int32_t i = twiddle[1];
    return (complex32){half_dot(a.r, r, -a.i, i), half_dot(a.r, i, a.i, r)};
}

static inline complex32 sum(complex32 a, complex32 b) {
    return (complex32){a.r + b.r, a.i + b.i};
}

static inline complex32 difference(complex32 a, complex32 b) {
    return (complex32){a.r - b.r, a.i - b.i};
}

static inline complex32 doubled(complex32 a) {
    return (complex32){a.r * 2, a.i * 2};
}

static inline complex32 shifted(complex32 a, unsigned bits) {
    int32_t half = (1 << bits) >> 1;
    return (complex32){(a.r + half) >> bits, (a.i + half) >> bits};
}

static inline complex32 two_fifths(complex32 a) {
    return (complex32){half_dot(a.r, TWO_FIFTHS, 0, 0), half_dot(a.i, TWO_FIFTHS, 0, 0)};
}

// The transform of five values.
static inline void five(complex32 *x) {
    complex32 near_sum = sum(x[1], x[4]);
    complex32 near_gap = difference(x[1], x[4]);
    complex32 far_sum = sum(x[2], x[3]);
    complex32 far_gap = difference(x[2], x[3]);
    complex32 first = {half_dot(near_sum.r, COS_72, far_sum.r, COS_144),
                       half_dot(near_sum.i, COS_72, far_sum.i, COS_144)};
    complex32 second = {half_dot(far_sum.r, COS_72, near_sum.r, COS_144),
                        half_dot(far_sum.i, COS_72, near_sum.i, COS_144)};
    // Times -j.
    complex32 first_turn = {half_dot(near_gap.i, SIN_72, far_gap.i, SIN_144),
                            -half_dot(near_gap.r, SIN_72, far_gap.r, SIN_144)};
    complex32 second_turn = {half_dot(near_gap.i, SIN_144, far_gap.i, -SIN_72),
                             half_dot(near_gap.r, -SIN_144, far_gap.r, SIN_72)};
    x[1] = sum(x[0], doubled(sum(first, first_turn)));
    x[4] = sum(x[0], doubled(difference(first, first_turn)));
    x[2] = sum(x[0], doubled(sum(second, second_turn)));
    x[3] = sum(x[0], doubled(difference(second, second_turn)));
    x[0] = sum(x[0], sum(near_sum, far_sum));
}

// Radix 5, from a frame in its own order; what comes out has two bits more.
static void fives_of(const complex32 *pairs, complex32 *at) {
    for (unsigned n = 0; n < FIVE_APART; n++, at += 5) {
        // The places of `slots`, backwards.
        const complex32 *from = pairs + (n >> 3) + (n >> 1 & 3) * 4 + (n & 1) * 16;
        for (unsigned k = 0; k < 5; k++) {
            complex32 pair = from[k * FIVE_APART];
            at[k] = (complex32){pair.r * 4, pair.i * 4};
        }
        five(at);
    }
}

// Radix 5, from the order of `slots`; what comes out is two fifths.
static void fives_scaled(complex32 *at) {
    for (complex32 *end = at + HALF_SIZE; at < end; at += 5) {
        five(at);
        for (unsigned k = 0; k < 5; k++) {
            at[k] = two_fifths(at[k]);
        }
    }
}

// Radix 2, shifted right by `bits`.
static inline void twos(complex32 *at, unsigned bits) {
    for (complex32 *end = at + HALF_SIZE; at < end; at += 10) {
        for (unsigned k = 0; k < 5; k++) {
            complex32 odd = doubled(half_turned(at[k + 5], &twiddles_q31[2 * 16 * k]));
            at[k + 5] = shifted(difference(at[k], odd), bits);
            at[k] = shifted(sum(at[k], odd), bits);
        }
    }
}

// Radix 4 over values `span` apart, shifted right by `bits`.
static inline void fours(complex32 *at, unsigned span, unsigned bits) {
    const unsigned step = HALF_SIZE / 4 / span;
    for (unsigned k = 0; k < span; k++, at++) {
        const int32_t *once = twiddles_q31 + 2 * step * k;
        const int32_t *twice = twiddles_q31 + 4 * step * k;
        const int32_t *thrice = twiddles_q31 + 6 * step * k;
        for (complex32 *here = at; here < at + HALF_SIZE; here += 4 * span) {
            complex32 b = half_turned(here[span], once);
            complex32 c = half_turned(here[2 * span], twice);
            complex32 d = half_turned(here[3 * span], thrice);
            complex32 even = sum(*here, doubled(c));
            complex32 odd = difference(*here, doubled(c));
            complex32 outer = doubled(sum(b, d));
            complex32 cross = doubled(difference(b, d));
            complex32 turn = {cross.i, -cross.r};
            here[0] = shifted(sum(even, outer), bits);
            here[span] = shifted(sum(odd, turn), bits);
            here[2 * span] = shifted(difference(even, outer), bits);
            here[3 * span] = shifted(difference(odd, turn), bits);
        }
    }
}

void fft320_forward(const fft320_frame *frame, complex32 *bins) {
    fives_of(frame->pairs, bins);
    twos(bins, 0);
    fours(bins, 10, 0);
    fours(bins, 40, 2);
    complex32 first = bins[0];
    bins[0] = (complex32){first.r + first.i, 0};
    bins[HALF_SIZE] = (complex32){first.r - first.i, 0};
    for (unsigned k = 1; k <= HALF_SIZE / 2; k++) {
        complex32 low = bins[k];
        complex32 high = {bins[HALF_SIZE - k].r, -bins[HALF_SIZE - k].i};
        complex32 even = sum(low, high);
        complex32 gap = difference(low, high);
        // Times -j, then the twiddle.
        complex32 odd = doubled(half_turned((complex32){gap.i, -gap.r}, &split_twiddles_q31[2 * k]));
        bins[k] = shifted(sum(even, odd), 1);
        bins[HALF_SIZE - k] = shifted((complex32){even.r - odd.r, odd.i - even.i}, 1);
    }
}

void fft320_inverse(const complex32 *bins, fft320_frame *frame) {
    complex32 *pairs = frame->pairs;
    // The inverse transform is the forward one with real and imaginary parts exchanged before and after.
    int32_t first = bins[0].r;
    int32_t last = bins[HALF_SIZE].r;
    pairs[0] = (complex32){(first - last + 1) >> 1, (first + last + 1) >> 1};
    for (unsigned k = 1; k <= HALF_SIZE / 2; k++) {
        complex32 low = bins[k];
        complex32 high = {bins[HALF_SIZE - k].r, -bins[HALF_SIZE - k].i};
        complex32 even = sum(low, high);
        complex32 gap = difference(low, high);
        // Times j and the twiddle turned back: the conjugate of (gap* times -j times the twiddle).
        complex32 odd = doubled(half_turned((complex32){-gap.i, -gap.r}, &split_twiddles_q31[2 * k]));
        pairs[slots[k]] = shifted((complex32){even.i - odd.i, even.r + odd.r}, 1);
        pairs[slots[HALF_SIZE - k]] = shifted((complex32){-odd.i - even.i, even.r - odd.r}, 1);
    }
    fives_scaled(pairs);
    twos(pairs, 1);
    fours(pairs, 10, 2);
    fours(pairs, 40, 3);
    for (unsigned n = 0; n < HALF_SIZE; n++) {
        pairs[n] = (complex32){pairs[n].i, pairs[n].r};
    }
}
