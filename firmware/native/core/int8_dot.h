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

#else

#if defined(__ARM_FEATURE_DSP)

static inline int32_t dot(const int8_t *a, const int8_t *b, unsigned length) {
    int32_t sum = 0;
    unsigned n = 0;
    for (; n + 4 <= length; n += 4) {
        uint32_t x;
        uint32_t y;
        memcpy(&x, a + n, sizeof(x));
        memcpy(&y, b + n, sizeof(y));
        sum = __smlad(__sxtb16(x), __sxtb16(y), sum);
        sum = __smlad(__sxtb16(x >> 8), __sxtb16(y >> 8), sum);
    }
    return sum + dot_tail(a, b, n, length);
}

#else

static inline int32_t dot(const int8_t *a, const int8_t *b, unsigned length) {
    return dot_tail(a, b, 0, length);
}

#endif

static inline void dot4(const int8_t *a, const int8_t *b, unsigned length, int32_t sums[DOT_ROWS]) {
    for (unsigned r = 0; r < DOT_ROWS; r++) {
        sums[r] = dot(a, b + r * length, length);
    }
}

#endif

#endif
