#include "fft.h"

#include "feature_tables.h"

// A quarter and a half as KISS FFT has them: 32767/4 and 32767/2, rounded down.
#define QUARTER 8191
#define HALF 16383

static inline halves twiddle_at(const int16_t *table, unsigned n) {
    return (halves){table[2 * n], table[2 * n + 1]};
}

// One radix-4 butterfly over a quarter of what is in `at`, and the three that lie `span` apart after it.
static inline void butterfly(fft_bin *at, unsigned span, halves a, halves b, halves c, halves d) {
    halves even = halves_sum(a, c);
    halves odd = halves_difference(a, c);
    halves outer = halves_sum(b, d);
    halves cross = halves_difference(b, d);
    at[0].value = halves_sum(even, outer);
    at[2 * span].value = halves_difference(even, outer);
    at[span].value = halves_difference_j(odd, cross);
    at[3 * span].value = halves_sum_j(odd, cross);
}

// The first butterflies of all blocks. Their twiddles are 32767, which as Q15 leaves what is below a half as it is.
static void untwiddled(fft_bin *bins, unsigned span) {
    for (fft_bin *at = bins; at < bins + FFT_COMPLEX; at += 4 * span) {
        butterfly(at, span, halves_scaled(at[0].value, QUARTER), halves_scaled(at[span].value, QUARTER),
                  halves_scaled(at[2 * span].value, QUARTER), halves_scaled(at[3 * span].value, QUARTER));
    }
}

// Butterfly `k` of all blocks.
static void twiddled(fft_bin *bins, unsigned span, unsigned k) {
    unsigned at_once = k * (FFT_COMPLEX / 4 / span);
    halves once = twiddle_at(fft_twiddles, at_once);
    halves twice = twiddle_at(fft_twiddles, 2 * at_once);
    halves thrice = twiddle_at(fft_twiddles, 3 * at_once);
    for (fft_bin *at = bins + k; at < bins + FFT_COMPLEX; at += 4 * span) {
        halves b = halves_product(halves_scaled(at[span].value, QUARTER), once);
        halves c = halves_product(halves_scaled(at[2 * span].value, QUARTER), twice);
        halves d = halves_product(halves_scaled(at[3 * span].value, QUARTER), thrice);
        butterfly(at, span, halves_scaled(at[0].value, QUARTER), b, c, d);
    }
}

void fft_complex(fft_bin *bins) {
    for (unsigned span = 1; span < FFT_COMPLEX; span *= 4) {
        untwiddled(bins, span);
        for (unsigned k = 1; k < span; k++) {
            twiddled(bins, span, k);
        }
    }
}

static inline uint32_t energy_of(int32_t r, int32_t i) {
    return (uint32_t)(r * r) + (uint32_t)(i * i);
}

void fft_real_energy(fft_bin *bins) {
    for (unsigned k = 1; k <= FFT_COMPLEX / 2; k++) {
        halves low = halves_scaled(bins[k].value, HALF);
        halves mirrored = bins[FFT_COMPLEX - k].value;
        mirrored.i = (int16_t)-mirrored.i;
        halves high = halves_scaled(mirrored, HALF);
        halves even = halves_sum(low, high);
        halves odd = halves_product(halves_difference(low, high), twiddle_at(split_twiddles, k - 1));
        // The real and imaginary parts are halved before the squares, as the reference stores them.
        bins[k].energy = energy_of((int16_t)((even.r + odd.r) >> 1), (int16_t)((even.i + odd.i) >> 1));
        bins[FFT_COMPLEX - k].energy =
            energy_of((int16_t)((even.r - odd.r) >> 1), (int16_t)((odd.i - even.i) >> 1));
    }
}
