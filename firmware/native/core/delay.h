// How late the loudspeaker's sound comes to the microphone, to within 20 ms.
//
// Each 20 ms leave a pattern: by how much the level of each of 24 bands is over its own average of late.
// The delay is where the patterns of the reference correlate best with the microphone's; how loud either
// is does not matter, and what a near talker adds is like no delay more than like another. (Comparing
// signs of spectral differences instead of waves is how recordings are recognised: J. Haitsma and T.
// Kalker, "A highly robust audio fingerprinting system", ISMIR 2002; here the differences keep their size.)
#ifndef HARKEN_DELAY_H
#define HARKEN_DELAY_H

#include <stdint.h>

#include "export.h"
#include "fft320.h"

#define DELAY_SAMPLES FFT320
#define DELAY_BANDS 24
#define DELAY_LAGS 15
#define DELAY_UNKNOWN (-1)

typedef struct {
    int32_t reference_mean[DELAY_BANDS]; // levels, log2 of power, Q10
    int32_t mic_mean[DELAY_BANDS];
    int8_t patterns[DELAY_LAGS][DELAY_BANDS]; // of the reference, a ring
    int32_t match[DELAY_LAGS];                // smoothed products with the microphone's pattern
    int32_t reference_strength;               // smoothed squares
    int32_t mic_strength;
    uint32_t newest;
    uint32_t compared; // frames, saturating
    uint32_t lasting;  // frames for which the best match has been `best`, saturating
    uint32_t best;
} harken_delay;

// As new.
HARKEN_EXPORT void harken_delay_reset(harken_delay *state);

// Takes the next 320 samples of both (not overlapping the last); the delay in frames of 20 ms, or
// DELAY_UNKNOWN. `audible`: something of the reference of the last 300 ms can be in the microphone.
HARKEN_EXPORT int harken_delay_step(
    harken_delay *state, const int16_t *mic, const int16_t *reference, int audible);

#endif
