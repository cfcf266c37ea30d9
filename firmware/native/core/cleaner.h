// What is done to the microphone's sound before anybody listens to it.
//
// High-pass, echo canceller, a post-filter in the frequency domain that takes away what echo is left
// and steady noise, then automatic gain with a limiter. 16 kHz int16 in hops of 10 ms. Each part can be
// switched off while running. The output is one hop (10 ms) behind the microphone, with any parts on or
// off; the canceller's own output is not.
#ifndef HARKEN_CLEANER_H
#define HARKEN_CLEANER_H

#include <stdint.h>

#include "echo.h"
#include "export.h"
#include "gain.h"
#include "highpass.h"
#include "noise.h"
#include "residue.h"
#include "spectrum.h"

#define CLEANER_HOP 160
#define CLEANER_BANDS 40

// Parts.
#define CLEANER_HIGHPASS 1u
#define CLEANER_ECHO 2u
#define CLEANER_SUPPRESS 4u // what echo the canceller leaves
#define CLEANER_NOISE 8u
#define CLEANER_GAIN 16u
#define CLEANER_ALL 31u

// What a step tells; the first three are the echo canceller's, as are bits 4 to 7: bands in which the hop
// is over echo and noise.
#define CLEANER_CANCELLING ECHO_ACTIVE
#define CLEANER_CONVERGED ECHO_CONVERGED
#define CLEANER_NEAR ECHO_NEAR
#define CLEANER_LIMITED 8
#define CLEANER_CLIPPED 256 // the microphone's sound is cut off: no canceller knows what that adds

typedef struct {
    uint32_t parts;
    int32_t modelled; // a model's gains are in `bands`
    int16_t bands[CLEANER_BANDS];
    harken_highpass highpass;
    harken_echo echo;
    harken_residue residue;
    harken_spectrum spectrum;
    harken_noise noise;
    harken_gain gain;
    uint32_t powers[3][SPECTRUM_BINS]; // of a frame: canceller's output, echo taken out, echo left
} harken_cleaner;

HARKEN_EXPORT uint32_t harken_cleaner_size(void);

// As new, with everything on.
HARKEN_EXPORT void harken_cleaner_init(harken_cleaner *state);

// Forgets the sound; keeps what is switched on.
HARKEN_EXPORT void harken_cleaner_reset(harken_cleaner *state);

// Switches on the parts named by `parts`, a sum of CLEANER_*, and off all others.
HARKEN_EXPORT void harken_cleaner_switch(harken_cleaner *state, uint32_t parts);

// A model's gains for the next hop, one for each of the 40 mel bands of the speech features: factors of the
// amplitude, 255 passes all. They stand in for the statistical gains until NULL is given.
HARKEN_EXPORT void harken_cleaner_gains(harken_cleaner *state, const uint8_t *gains);

// Takes 160 samples of the microphone and what the loudspeaker was given for that time, or NULL where
// nothing is known to play. Writes 160 cleaned samples and, unless `linear` is NULL, the canceller's
// output: what a detector of voices should hear. Returns CLEANER_* of the hop. `out` and
// `linear` may be `mic`, but not each other.
HARKEN_EXPORT int harken_cleaner_step(
    harken_cleaner *state, const int16_t *mic, const int16_t *reference, int16_t *out, int16_t *linear);

// How much of the echo is taken away; the delay of the loudspeaker's sound, which means something once the
// canceller has converged; the noise at the microphone in dB of full scale, -96 where nothing was heard
// yet; and the gain last applied.
HARKEN_EXPORT int harken_cleaner_erle_db(const harken_cleaner *state);
HARKEN_EXPORT int harken_cleaner_delay_ms(const harken_cleaner *state);
HARKEN_EXPORT int harken_cleaner_noise_db(const harken_cleaner *state);
HARKEN_EXPORT int harken_cleaner_gain_db(const harken_cleaner *state);

// Many hops at once; returns how many of them were limited. For measuring on a computer.
HARKEN_EXPORT uint32_t harken_cleaner_run(
    harken_cleaner *state, const int16_t *mic, const int16_t *reference, uint32_t hops, int16_t *out,
    int16_t *linear);

#endif
