#include "fft320.h"

#include "fft320_tables.h"

#define HALF_SIZE (FFT320 / 2)

#define ROUND (1 << 29)
#define Q30(value) ((int32_t)((value) * 1073741824.0 + 0.5))
#define COS_72 Q30(0.30901699437494742)
#define COS_144 Q30(0.80901699437494742) // negated
#define SIN_72 Q30(0.95105651629515357)
#define SIN_144 Q30(0.58778525229247313)
#define FIFTH Q30(0.2)

// Two products and their sum, Q30, rounded.
static inline int32_t dot(int32_t a, int32_t b, int32_t c, int32_t d) {
    return (int32_t)(((int64_t)a * b + (int64_t)c * d + ROUND) >> 30);
}

static inline complex32 turned(complex32 a, const int32_t *twiddle) {
    int32_t r = twiddle[0];
    int32_t i = twiddle[1];
    return (complex32){dot(a.r, r, -a.i, i), dot(a.r, i, a.i, r)};
}

static inline complex32 sum(complex32 a, complex32 b) {
    return (complex32){a.r + b.r, a.i + b.i};
}

static inline complex32 difference(complex32 a, complex32 b) {
    return (complex32){a.r - b.r, a.i - b.i};
}

// Where complex sample n goes before the first stage.
static inline unsigned slot_of(unsigned n) {
    return 40 * (n & 3) + 10 * (n >> 2 & 3) + 5 * (n >> 4 & 1) + (n >> 5);
}

// What a stage takes off its sums: nothing, or as much as undoes their growth.
typedef enum { PLAIN, SCALED } scaling;

static inline complex32 shifted(complex32 a, unsigned bits, int32_t half) {
    return (complex32){(a.r + half) >> bits, (a.i + half) >> bits};
}

static inline complex32 fifth(complex32 a) {
    return (complex32){dot(a.r, FIFTH, 0, 0), dot(a.i, FIFTH, 0, 0)};
}

// All transforms of five neighbours.
static void fives(complex32 *at, scaling scale) {
    for (complex32 *end = at + HALF_SIZE; at < end; at += 5) {
        complex32 near_sum = sum(at[1], at[4]);
        complex32 near_gap = difference(at[1], at[4]);
        complex32 far_sum = sum(at[2], at[3]);
        complex32 far_gap = difference(at[2], at[3]);
        complex32 first = {at[0].r + dot(near_sum.r, COS_72, -far_sum.r, COS_144),
                           at[0].i + dot(near_sum.i, COS_72, -far_sum.i, COS_144)};
        complex32 second = {at[0].r + dot(far_sum.r, COS_72, -near_sum.r, COS_144),
                            at[0].i + dot(far_sum.i, COS_72, -near_sum.i, COS_144)};
        // Times -j.
        complex32 first_turn = {dot(near_gap.i, SIN_72, far_gap.i, SIN_144),
                                -dot(near_gap.r, SIN_72, far_gap.r, SIN_144)};
        complex32 second_turn = {dot(near_gap.i, SIN_144, -far_gap.i, SIN_72),
                                 -dot(near_gap.r, SIN_144, -far_gap.r, SIN_72)};
        at[0] = sum(at[0], sum(near_sum, far_sum));
        at[1] = sum(first, first_turn);
        at[4] = difference(first, first_turn);
        at[2] = sum(second, second_turn);
        at[3] = difference(second, second_turn);
        for (unsigned k = 0; scale == SCALED && k < 5; k++) {
            at[k] = fifth(at[k]);
        }
    }
}

static void twos(complex32 *at, scaling scale) {
    unsigned bits = scale == SCALED ? 1 : 0;
    int32_t half = (int32_t)bits;
    for (complex32 *end = at + HALF_SIZE; at < end; at += 10) {
        for (unsigned k = 0; k < 5; k++) {
            complex32 odd = turned(at[k + 5], &twiddles_q30[2 * 16 * k]);
            at[k + 5] = shifted(difference(at[k], odd), bits, half);
            at[k] = shifted(sum(at[k], odd), bits, half);
        }
    }
}

// Radix 4 over values `span` apart.
static void fours(complex32 *at, unsigned span, scaling scale) {
    unsigned bits = scale == SCALED ? 2 : 0;
    int32_t half = (int32_t)bits;
    unsigned step = HALF_SIZE / 4 / span;
    for (complex32 *end = at + HALF_SIZE; at < end; at += 4 * span) {
        const int32_t *once = twiddles_q30;
        const int32_t *twice = twiddles_q30;
        const int32_t *thrice = twiddles_q30;
        for (unsigned k = 0; k < span; k++) {
            complex32 a = at[k];
            complex32 b = turned(at[k + span], once);
            complex32 c = turned(at[k + 2 * span], twice);
            complex32 d = turned(at[k + 3 * span], thrice);
            once += 2 * step;
            twice += 4 * step;
            thrice += 6 * step;
            complex32 even = sum(a, c);
            complex32 odd = difference(a, c);
            complex32 outer = sum(b, d);
            complex32 cross = difference(b, d);
            complex32 turn = {cross.i, -cross.r};
            at[k] = shifted(sum(even, outer), bits, half);
            at[k + 2 * span] = shifted(difference(even, outer), bits, half);
            at[k + span] = shifted(sum(odd, turn), bits, half);
            at[k + 3 * span] = shifted(difference(odd, turn), bits, half);
        }
    }
}

static void transform(complex32 *bins, scaling scale) {
    fives(bins, scale);
    twos(bins, scale);
    fours(bins, 10, scale);
    fours(bins, 40, scale);
}

void fft320_forward(const fft320_frame *frame, complex32 *bins) {
    for (unsigned n = 0; n < HALF_SIZE; n++) {
        bins[slot_of(n)] = frame->pairs[n];
    }
    transform(bins, PLAIN);
    complex32 first = bins[0];
    bins[0] = (complex32){first.r + first.i, 0};
    bins[HALF_SIZE] = (complex32){first.r - first.i, 0};
    for (unsigned k = 1; k <= HALF_SIZE / 2; k++) {
        complex32 low = bins[k];
        complex32 high = {bins[HALF_SIZE - k].r, -bins[HALF_SIZE - k].i};
        complex32 even = sum(low, high);
        complex32 gap = difference(low, high);
        // Times -j, then the twiddle.
        complex32 odd = turned((complex32){gap.i, -gap.r}, &split_twiddles_q30[2 * k]);
        bins[k] = (complex32){(even.r + odd.r + 1) >> 1, (even.i + odd.i + 1) >> 1};
        bins[HALF_SIZE - k] = (complex32){(even.r - odd.r + 1) >> 1, (odd.i - even.i + 1) >> 1};
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
        complex32 odd = turned((complex32){-gap.i, -gap.r}, &split_twiddles_q30[2 * k]);
        odd.i = -odd.i;
        pairs[slot_of(k)] = (complex32){(even.i + odd.i + 1) >> 1, (even.r + odd.r + 1) >> 1};
        pairs[slot_of(HALF_SIZE - k)] =
            (complex32){(odd.i - even.i + 1) >> 1, (even.r - odd.r + 1) >> 1};
    }
    transform(pairs, SCALED);
    for (unsigned n = 0; n < HALF_SIZE; n++) {
        pairs[n] = (complex32){pairs[n].i, pairs[n].r};
    }
}
