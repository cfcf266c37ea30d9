// Echo canceller: takes the loudspeaker's sound, as the reference knows it, out of the microphone's.
//
// An adaptive filter of 120 ms (kalman.h) behind a delay of up to 260 ms, which a comparison of spectral
// patterns finds first (delay.h) and the filter itself then follows, whole partitions at a time, as clocks
// drift. Where the filter does more harm than good, as after somebody moved the device, its estimate is
// faded out and, if that lasts, forgotten. No delay is added: the output is that of the same hop.
#ifndef HARKEN_ECHO_H
#define HARKEN_ECHO_H

#include <stdint.h>

#include "delay.h"
#include "export.h"
#include "kalman.h"
#include "leak.h"
#include "near.h"

#define ECHO_HOP KALMAN_HOP
// Hops of the reference that are kept: the longest delay, and the frame that begins there.
#define ECHO_KEPT 28

// What `harken_echo_step` answers.
#define ECHO_ACTIVE 1    // the reference was audible of late: echo is being cancelled
#define ECHO_CONVERGED 2 // the filter has learnt the echo's path
#define ECHO_NEAR 4      // the near talker speaks while echo plays
// Bits 4 to 7: bands in which this hop alone is over echo and noise, 0 to 10; converged or not.
#define ECHO_OVER_SHIFT 4

typedef struct {
    harken_kalman filter;
    harken_delay delay;
    harken_leak leak;
    harken_near near;
    int16_t kept[ECHO_KEPT][ECHO_HOP]; // of the reference, a ring
    int16_t mic_before[ECHO_HOP];
    int16_t estimate[ECHO_HOP];
    uint32_t newest;   // in `kept`
    uint32_t late;     // hops by which the reference is given to the filter late
    uint32_t halves;   // hops of a frame of the delay estimator
    uint32_t played;   // hops since the reference was last audible, saturating; here and at the filter
    uint32_t silent;
    uint32_t learnt;   // hops learnt from, saturating
    uint32_t doubted;  // hops without a sign of the reference in the microphone's sound, less for each sign
    uint32_t harmful;  // hops in a row in which the filter did harm
    uint64_t mic_power; // smoothed over some 80 ms, Q6
    uint64_t error_power;
    int32_t trust; // part of the estimate that is taken out, Q15
    uint64_t loud; // while the near talker is silent, smoothed over a second: microphone, output; Q6
    uint64_t left;
} harken_echo;

HARKEN_EXPORT uint32_t harken_echo_size(void);

// As new.
HARKEN_EXPORT void harken_echo_reset(harken_echo *state);

// Takes 160 samples at 16 kHz of the microphone and of what was given to the loudspeaker (NULL: nothing
// known to play), and writes the microphone's without the echo found in it; ECHO_* flags. `linear` may be
// `mic`.
HARKEN_EXPORT int harken_echo_step(harken_echo *state, const int16_t *mic, const int16_t *reference,
                                   int16_t *linear);

// The echo taken out of the last hop, int16 [160].
HARKEN_EXPORT const int16_t *harken_echo_estimate(const harken_echo *state);

// By how many dB the filter lowers the echo, and how late the echo comes: a guess until it has converged.
HARKEN_EXPORT int harken_echo_erle_db(const harken_echo *state);
HARKEN_EXPORT int harken_echo_delay_ms(const harken_echo *state);

#endif
