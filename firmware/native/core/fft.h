// Fixed-point FFT of 512 real int16 samples, rounded as KISS FFT rounds (FIXED_POINT=16).
#ifndef HARKEN_FFT_H
#define HARKEN_FFT_H

#include <stdint.h>

#include "halves.h"

#define FFT_REAL 512
#define FFT_COMPLEX (FFT_REAL / 2)

// One place of the transform: a complex value, later its energy.
typedef union {
    halves value;
    uint32_t energy;
} fft_bin;

// The order in which the transform wants its input: `bins[fft_slot(n)]` holds complex sample n.
static inline unsigned fft_slot(unsigned n) {
    return (n & 3) << 6 | (n & 12) << 2 | (n >> 2 & 12) | n >> 6;
}

// Transforms 256 complex values in place; input in slot order, output in frequency order.
void fft_complex(fft_bin *bins);

// Turns `fft_complex` of 512 real samples taken in pairs into the squared magnitude of their bins
// 1..255, in place; bin 0 is left as it was.
void fft_real_energy(fft_bin *bins);

#endif
