// Whether the near talker is in what the echo canceller leaves.
//
// Band by band, the output's power is held against the echo that is expected in it (what the filter has
// not learnt, what leaks, what reverberates for longer) and against the noise of the room, whose floor is
// followed quickly downwards and slowly upwards. A talker is over both in several bands at once, for
// several hops. (Deciding by the uncertainty of the filter's own model: G. Enzner and P. Vary,
// "Frequency-domain adaptive Kalman filter for acoustic echo control in hands-free telephones", Signal
// Processing 86(6), 2006.)
#ifndef HARKEN_NEAR_H
#define HARKEN_NEAR_H

#include <stdint.h>

#include "fft320.h"
#include "leak.h"

// Up to 4.4 kHz; the lowest band, with the rumble of a room in it, does not count.
#define NEAR_BANDS 11

typedef struct {
    uint64_t floor[NEAR_BANDS]; // power of noise, of a sum of 8 bins, / 1024
    uint64_t echo[NEAR_BANDS];  // of the echo's estimate, dying away no faster than a room
    uint32_t history;           // a bit a hop
    uint32_t holding;           // hops for which the last finding holds
    uint32_t over;              // bands that were over echo and noise in the last hop
} harken_near;

// As new.
void harken_near_reset(harken_near *state);

// Takes the spectra [161], Q3, of the canceller's output (160 zeros, then the hop) and of the whole frame
// of the echo's estimate, and the power that the filter has not learnt, / 1024; 1 where somebody talks.
int harken_near_step(harken_near *state, const harken_leak *leak, const complex32 *error,
                     const complex32 *estimate, const uint32_t *unlearnt);

// Whether any of the last hops sounded like somebody talking.
int harken_near_suspected(const harken_near *state);

#endif
