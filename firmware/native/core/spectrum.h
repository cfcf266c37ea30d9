// Into the frequency domain and back: 20 ms frames every 10 ms.
//
// The root of a Hann window before the transform and after it, half overlapped, so that frames that
// nobody changed add up to the sound itself, 10 ms late (R. E. Crochiere, "A weighted overlap-add method
// of short-time Fourier analysis/synthesis", IEEE Trans. Acoustics, Speech, and Signal Processing 28(1),
// 1980).
#ifndef HARKEN_SPECTRUM_H
#define HARKEN_SPECTRUM_H

#include <stdint.h>

#include "export.h"
#include "fft320.h"

#define SPECTRUM_HOP 160
#define SPECTRUM_BINS FFT320_BINS
#define SPECTRUM_GAIN_ONE 32768

typedef struct {
    int16_t before[SPECTRUM_HOP];          // the hop before the one that came last
    int16_t estimate_before[SPECTRUM_HOP]; // likewise of the echo's estimate
    int32_t tail[SPECTRUM_HOP];            // what the last frame adds to the next hop, Q11
    fft320_frame frame;
    complex32 bins[SPECTRUM_BINS];
} harken_spectrum;

// As new.
HARKEN_EXPORT void harken_spectrum_reset(harken_spectrum *state);

// The frame that ends with this hop, of the sound itself: its bins stay in the state for
// `harken_spectrum_finish`. `before` is the hop before.
void harken_spectrum_analyse(harken_spectrum *state, const int16_t *before, const int16_t *hop);

// Power of the bins analysed last: |X|^2 / 1024 with X the plain transform of the windowed samples, at
// most 2^32 - 1, as a number and as log2 in Q10 (with the fractions that the number has not); each [161].
void harken_spectrum_power(const harken_spectrum *state, uint32_t *power, int16_t *level);

// Multiplies the bins analysed last with `gains`, Q15, [161], and writes the hop before `hop`, which is
// the one analysed. `gains` NULL: everything passes, and nothing need have been analysed.
HARKEN_EXPORT void harken_spectrum_finish(
    harken_spectrum *state, const uint16_t *gains, const int16_t *hop, int16_t *out);

#endif
