// What the post-filter takes from each bin: steady noise, and the echo that the canceller left.
//
// Noise is tracked by T. Gerkmann and R. C. Hendriks, "Unbiased MMSE-based noise power estimation with low
// complexity and low tracking delay", IEEE Trans. Audio, Speech, and Language Processing 20(4), 2012,
// on logarithms: its update depends on the ratio of power to noise alone. The gain is the log-spectral
// amplitude estimator of Y. Ephraim and D. Malah, "Speech enhancement using a minimum mean-square error
// log-spectral amplitude estimator", IEEE Trans. Acoustics, Speech, and Signal Processing 33(2), 1985,
// with their decision-directed a-priori ratio (1984), weighted by the probability of speech: I. Cohen
// and B. Berdugo, "Speech enhancement for non-stationary noise environments", Signal Processing 81,
// 2001. The echo that is left counts as interference beside the noise, but is let down to where it
// hides under the noise that stays: S. Gustafsson et al., "A psychoacoustic approach to combined acoustic
// echo cancellation and noise reduction", IEEE Trans. Speech and Audio Processing 10(5), 2002.
#ifndef HARKEN_NOISE_H
#define HARKEN_NOISE_H

#include <stdint.h>

#include "export.h"
#include "spectrum.h"

#define NOISE_BANDS 40

typedef struct {
    int32_t noise[SPECTRUM_BINS];   // power, log2 in Q16
    int16_t clean[SPECTRUM_BINS];   // power of the last frame once cleaned, log2 in Q10
    uint16_t ratio[SPECTRUM_BINS];  // a-priori ratio to noise and echo, smoothed, Q10
    uint16_t steady[SPECTRUM_BINS]; // for how many frames a bin has been over its noise
    uint32_t heard;                 // frames so far, as many as the start needs
    int32_t speech;                 // share of the last frame's bins that is over noise and echo, Q8
    uint32_t level;                 // mean square of the noise, Q4, a few frames old
    uint32_t until_sum;             // frames until it is new
} harken_noise;

// What shapes a frame's gains.
typedef struct {
    const int16_t *level;   // power of each bin, log2 in Q10, [161]
    const int16_t *residue; // likewise of the echo in it; NULL: none
    const int16_t *bands;   // a model's gains, log2 in Q10, [40], in place of the statistical; or NULL
    int suppress_noise;
    int suppress_echo;
} noise_frame;

// As new.
HARKEN_EXPORT void harken_noise_reset(harken_noise *state);

// Learns from a frame and, unless `gains` is NULL, writes the gain of each bin, Q15, [161].
void harken_noise_step(harken_noise *state, const noise_frame *frame, uint16_t *gains);

// Share of the bins of speech that were over noise and echo in the last frame, 0 to 255.
int harken_noise_speech(const harken_noise *state);

// Noise in dB of full scale (0 is the loudest square wave); at least this, as where nothing was heard yet.
#define NOISE_LEAST_DB (-96)
int harken_noise_db(const harken_noise *state);

#endif
