// High-pass of the microphone: no offset, no rumble.
//
// A second-order Butterworth filter at 80 Hz (S. Butterworth, "On the theory of filter amplifiers",
// Experimental Wireless 7, 1930; bilinear transform), direct form I. What rounding took from a sample is
// given to the next one (error feedback: T. Thong and B. Liu, "Error spectrum shaping in narrow-band
// recursive filters", IEEE Trans. Acoustics, Speech, and Signal Processing 25(2), 1977), so that rounding
// adds no offset of its own.
#ifndef HARKEN_HIGHPASS_H
#define HARKEN_HIGHPASS_H

#include <stdint.h>

#include "export.h"

#define HIGHPASS_HOP 160

typedef struct {
    int32_t input[2];  // the last sample and the one before
    int32_t output[2]; // likewise, Q12
    int32_t error;     // Q28 of Q12
} harken_highpass;

// As new.
HARKEN_EXPORT void harken_highpass_reset(harken_highpass *state);

// Filters 160 samples; `out` may be `in`.
HARKEN_EXPORT void harken_highpass_step(harken_highpass *state, const int16_t *in, int16_t *out);

#endif
