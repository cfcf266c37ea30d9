#include "fft.h"

#include "feature_tables.h"

// A quarter and a half as KISS FFT has them: 32767/4 and 32767/2, rounded down.
#define QUARTER 8191
#define HALF 16383

static inline int16_t round_q15(int32_t product) {
    return (int16_t)((product + (1 << 14)) >> 15);
}

static inline complex16 scaled(complex16 a, int32_t factor) {
    return (complex16){round_q15(a.r * factor), round_q15(a.i * factor)};
}

static inline complex16 product(complex16 a, const int16_t *twiddle) {
    int32_t r = twiddle[0];
    int32_t i = twiddle[1];
    return (complex16){round_q15(a.r * r - a.i * i), round_q15(a.r * i + a.i * r)};
}

static inline complex16 sum(complex16 a, complex16 b) {
    return (complex16){(int16_t)(a.r + b.r), (int16_t)(a.i + b.i)};
}

static inline complex16 difference(complex16 a, complex16 b) {
    return (complex16){(int16_t)(a.r - b.r), (int16_t)(a.i - b.i)};
}

// One radix-4 butterfly over four values `span` apart; `stride` is its step through the twiddles.
static inline void butterfly(fft_bin *at, unsigned span, unsigned twiddle) {
    complex16 a = scaled(at[0].value, QUARTER);
    complex16 b = product(scaled(at[span].value, QUARTER), &fft_twiddles[2 * twiddle]);
    complex16 c = product(scaled(at[2 * span].value, QUARTER), &fft_twiddles[4 * twiddle]);
    complex16 d = product(scaled(at[3 * span].value, QUARTER), &fft_twiddles[6 * twiddle]);
    complex16 even = sum(a, c);
    complex16 odd = difference(a, c);
    complex16 outer = sum(b, d);
    complex16 cross = difference(b, d);
    at[0].value = sum(even, outer);
    at[2 * span].value = difference(even, outer);
    at[span].value = (complex16){(int16_t)(odd.r + cross.i), (int16_t)(odd.i - cross.r)};
    at[3 * span].value = (complex16){(int16_t)(odd.r - cross.i), (int16_t)(odd.i + cross.r)};
}

void fft_complex(fft_bin *bins) {
    for (unsigned span = 1; span < FFT_COMPLEX; span *= 4) {
        unsigned stride = FFT_COMPLEX / 4 / span;
        for (unsigned block = 0; block < FFT_COMPLEX; block += 4 * span) {
            for (unsigned k = 0; k < span; k++) {
                butterfly(bins + block + k, span, k * stride);
            }
        }
    }
}

static inline uint32_t energy_of(int32_t r, int32_t i) {
    return (uint32_t)(r * r) + (uint32_t)(i * i);
}

void fft_real_energy(fft_bin *bins) {
    for (unsigned k = 1; k <= FFT_COMPLEX / 2; k++) {
        complex16 low = scaled(bins[k].value, HALF);
        complex16 mirrored = bins[FFT_COMPLEX - k].value;
        mirrored.i = (int16_t)-mirrored.i;
        complex16 high = scaled(mirrored, HALF);
        complex16 even = sum(low, high);
        complex16 odd = product(difference(low, high), &split_twiddles[2 * (k - 1)]);
        // The real and imaginary parts are halved before the squares, as the reference stores them.
        bins[k].energy = energy_of((int16_t)((even.r + odd.r) >> 1), (int16_t)((even.i + odd.i) >> 1));
        bins[FFT_COMPLEX - k].energy =
            energy_of((int16_t)((even.r - odd.r) >> 1), (int16_t)((odd.i - even.i) >> 1));
    }
}
