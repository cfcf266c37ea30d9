// The speech features of microWakeWord: TensorFlow Lite Micro's audio front end, bit for bit.
//
// 16 kHz int16 in hops of 10 ms; a Hann window of 30 ms, a 512-point FFT, 40 mel channels of 125 to
// 7,500 Hz, noise reduction by spectral subtraction, per-channel energy normalisation (PCAN: Wang
// et al., "Trainable frontend for robust and far-field keyword spotting", 2017), natural logarithm,
// and int8 in the scale that microWakeWord models take (26/255, zero at -128).
#ifndef HARKEN_SPEECH_FEATURES_H
#define HARKEN_SPEECH_FEATURES_H

#include <stdint.h>

#include "export.h"
#include "fft.h"

#define FEATURE_HOP 160
#define FEATURE_WINDOW 480
#define FEATURE_CHANNELS 40

typedef struct {
    int16_t input[FEATURE_WINDOW];
    uint32_t noise[FEATURE_CHANNELS];
    uint32_t filled;
    fft_bin bins[FFT_COMPLEX];
} harken_features;

HARKEN_EXPORT uint32_t harken_features_size(void);
HARKEN_EXPORT void harken_features_reset(harken_features *state);

// Takes one hop; returns 1 where it wrote `row`, 0 while the window still fills.
HARKEN_EXPORT int harken_features_step(
    harken_features *state, const int16_t *pcm, int8_t *row);

// Many hops at once; returns how many rows it wrote. For measuring on a computer.
HARKEN_EXPORT uint32_t harken_features_run(
    harken_features *state, const int16_t *pcm, uint32_t hops, int8_t *rows);

#endif
