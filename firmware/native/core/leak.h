// Leakage: what part of the echo's estimate, as power, is still in the canceller's output.
//
// The regression of the output's power on the estimate's, of their fluctuations only, so that neither
// noise nor a near talker counts, who rise and fall at other times (J.-M. Valin, "On adjusting the
// learning rate in frequency domain echo cancellation with double-talk", IEEE Trans. Audio, Speech, and
// Language Processing 15(3), 2007), here in bands of 400 Hz that count alike, loud or not.
#ifndef HARKEN_LEAK_H
#define HARKEN_LEAK_H

#include <stdint.h>

#include "fft320.h"

#define LEAK_BANDS 20
#define LEAK_BAND_BINS 8
#define LEAK_ONE 65536

typedef struct {
    uint64_t error[LEAK_BANDS]; // smoothed powers
    uint64_t estimate[LEAK_BANDS];
    int32_t cross[LEAK_BANDS]; // smoothed products of fluctuations, Q22
    int32_t square[LEAK_BANDS];
} harken_leak;

// Power of a band: the sum of its bins' squares, each shifted right.
static inline uint64_t leak_band_power(const complex32 *bins, int shift) {
    uint64_t sum = 0;
    for (unsigned k = 0; k < LEAK_BAND_BINS; k++) {
        sum += (uint64_t)((int64_t)bins[k].r * bins[k].r + (int64_t)bins[k].i * bins[k].i) >> shift;
    }
    return sum;
}

// As new: all of it leaks.
void harken_leak_reset(harken_leak *state);

// Takes the spectra, each [161], of the canceller's output (160 zeros, then the block) and of the whole
// frame of the echo's estimate.
void harken_leak_step(harken_leak *state, const complex32 *error, const complex32 *estimate);

// All bands together, Q16, 1/1000 to 1; and one of them.
uint32_t harken_leak_of_all(const harken_leak *state);
uint32_t harken_leak_of_band(const harken_leak *state, unsigned band);

#endif
