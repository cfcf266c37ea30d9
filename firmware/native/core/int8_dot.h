// Dot products of int8 vectors: plain C, and the same sums by what a processor has for them.
//
// All variants add the same int32 products, so they agree to the last bit.
#ifndef HARKEN_INT8_DOT_H
#define HARKEN_INT8_DOT_H

#include <stdint.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__ARM_FEATURE_DSP)
#include <arm_acle.h>
#include <string.h>
#endif

#define DOT_ROWS 4

static inline int32_t dot_tail(const int8_t *a, const int8_t *b, unsigned from, unsigned length) {
    int32_t sum = 0;
    for (unsigned n = from; n < length; n++) {
        sum += a[n] * b[n];
    }
    return sum;
}

#if defined(__SSE2__)

// Sign-extends the lower and the upper eight of sixteen int8.
static inline __m128i widened_low(__m128i x) {
    return _mm_srai_epi16(_mm_unpacklo_epi8(x, x), 8);
}

static inline __m128i widened_high(__m128i x) {
    return _mm_srai_epi16(_mm_unpackhi_epi8(x, x), 8);
}

// Four dot products of `a` with the rows of `b`, which lie `length` apart.
static inline void dot4(const int8_t *a, const int8_t *b, unsigned length, int32_t sums[DOT_ROWS]) {
    __m128i s0 = _mm_setzero_si128();
    __m128i s1 = s0;
    __m128i s2 = s0;
    __m128i s3 = s0;
    unsigned n = 0;
    for (; n + 16 <= length; n += 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(const void *)(a + n));
        __m128i low = widened_low(x);
        __m128i high = widened_high(x);
        const int8_t *row = b + n;
#define DOT_ADD(sum) \
        x = _mm_loadu_si128((const __m128i *)(const void *)row); \
        sum = _mm_add_epi32(sum, _mm_madd_epi16(low, widened_low(x))); \
        sum = _mm_add_epi32(sum, _mm_madd_epi16(high, widened_high(x))); \
        row += length
        DOT_ADD(s0);
        DOT_ADD(s1);
        DOT_ADD(s2);
        DOT_ADD(s3);
#undef DOT_ADD
    }
    // A transposition by halves: each column of the result is one sum.
    __m128i p0 = _mm_add_epi32(_mm_unpacklo_epi32(s0, s1), _mm_unpackhi_epi32(s0, s1));
    __m128i p1 = _mm_add_epi32(_mm_unpacklo_epi32(s2, s3), _mm_unpackhi_epi32(s2, s3));
    __m128i all = _mm_add_epi32(_mm_unpacklo_epi64(p0, p1), _mm_unpackhi_epi64(p0, p1));
    _mm_storeu_si128((__m128i *)(void *)sums, all);
    for (unsigned r = 0; n < length && r < DOT_ROWS; r++) {
        sums[r] += dot_tail(a, b + r * length, n, length);
    }
}

#elif defined(__ARM_FEATURE_DSP)

// Sign-extends bytes 1 and 3 of `x`; `__sxtb16` takes 0 and 2.
static inline int16x2_t sxtb16_odd(int8x4_t x) {
    int16x2_t halves;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(halves) : "r"(x));
    return halves;
}

static inline int8x4_t four(const int8_t *at) {
    int8x4_t word;
    memcpy(&word, at, sizeof(word));
    return word;
}

static inline void dot4(const int8_t *a, const int8_t *b, unsigned length, int32_t sums[DOT_ROWS]) {
    int32_t s0 = 0;
    int32_t s1 = 0;
    int32_t s2 = 0;
    int32_t s3 = 0;
    const int8_t *b1 = b + length;
    const int8_t *b2 = b1 + length;
    const int8_t *b3 = b2 + length;
    unsigned n = 0;
    for (; n + 4 <= length; n += 4) {
        int8x4_t x = four(a + n);
        int16x2_t even = __sxtb16(x);
        int16x2_t odd = sxtb16_odd(x);
#define DOT_ADD(sum, row) \
        x = four(row + n); \
        sum = __smlad(even, __sxtb16(x), sum); \
        sum = __smlad(odd, sxtb16_odd(x), sum)
        DOT_ADD(s0, b);
        DOT_ADD(s1, b1);
        DOT_ADD(s2, b2);
        DOT_ADD(s3, b3);
#undef DOT_ADD
    }
    sums[0] = s0 + dot_tail(a, b, n, length);
    sums[1] = s1 + dot_tail(a, b1, n, length);
    sums[2] = s2 + dot_tail(a, b2, n, length);
    sums[3] = s3 + dot_tail(a, b3, n, length);
}

#else

// Two rows at a time: as many sums and pointers as the low registers of a Cortex-M0+ hold.
static inline void dot2(const int8_t *a, const int8_t *b, unsigned length, int32_t sums[2]) {
    int32_t s0 = 0;
    int32_t s1 = 0;
    const int8_t *b1 = b + length;
    for (unsigned n = 0; n < length; n++) {
        int32_t x = a[n];
        s0 += x * b[n];
        s1 += x * b1[n];
    }
    sums[0] = s0;
    sums[1] = s1;
}

static inline void dot4(const int8_t *a, const int8_t *b, unsigned length, int32_t sums[DOT_ROWS]) {
    dot2(a, b, length, sums);
    dot2(a, b + 2 * length, length, sums + 2);
}

#endif

#endif
