// Adaptive filter in the frequency domain, of several partitions, that knows how sure it is of each bin.
//
// Overlap-save with blocks of 10 ms (J.-S. Soo and K. K. Pang, "Multidelay block frequency domain adaptive
// filter", IEEE Trans. Acoustics, Speech, and Signal Processing 38(2), 1990); its step in each bin of each
// partition is the gain of a Kalman filter whose covariance is kept as its diagonal (G. Enzner and P. Vary,
// "Frequency-domain adaptive Kalman filter for acoustic echo control in hands-free telephones", Signal
// Processing 86(6), 2006; F. Kuech, E. Mabande and G. Enzner, "State-space architecture of the partitioned-
// block-based acoustic echo controller", ICASSP 2014). While somebody talks near the microphone its power
// stands in the gain's denominator, and the step becomes small by itself.
//
// The process noise is not a constant but follows the leakage (leak.h): what is not yet or no longer
// learnt is learnt quickly, what is learnt is held.
#ifndef HARKEN_KALMAN_H
#define HARKEN_KALMAN_H

#include <stdint.h>

#include "fft320.h"
#include "halves.h"

#define KALMAN_HOP 160
#define KALMAN_BINS FFT320_BINS
#define KALMAN_PARTITIONS 12

// Bits of sound and error after the binary point.
#define KALMAN_POINT 3

typedef struct {
    complex32 path[KALMAN_BINS][KALMAN_PARTITIONS];     // the echo's path, Q24
    halves sound[KALMAN_BINS][KALMAN_PARTITIONS];       // spectra of the reference, newest first
    uint32_t doubt[KALMAN_BINS][KALMAN_PARTITIONS];     // expected squared error of `path`
    uint64_t near[KALMAN_BINS];                         // power of what is no echo, Q6
    uint32_t unlearnt[KALMAN_BINS];                     // echo expected to be left in the last block, / 1024
    uint64_t strength[KALMAN_PARTITIONS];               // sum of |path|^2 of every other bin, Q20
    int32_t sound_exponent;
    int32_t doubt_exponent;
    uint32_t turn;
    uint8_t peak_bits[KALMAN_PARTITIONS]; // of each block of the reference
} harken_kalman;

// As new: no echo is known, much is possible.
void harken_kalman_reset(harken_kalman *state);

// Takes the next block of the reference; `samples` [320], int16, the 160 before it come first.
void harken_kalman_hear(harken_kalman *state, const int16_t *samples);

// The echo in the current block: its spectrum [161], of the whole frame, and its samples [160], both Q3.
void harken_kalman_estimate(const harken_kalman *state, complex32 *spectrum, int32_t *echo);

// Learns from what was left of the microphone's block: spectrum of 160 zeros and the error, Q3. `change`
// is how much of the path may have changed since the last block (power, Q16), `expected` how strong a path
// at least is possible in the first partition (power, Q20).
void harken_kalman_learn(harken_kalman *state, const complex32 *error, uint32_t change, uint32_t expected);

// Moves what was learnt by whole partitions: the reference comes `blocks` later from now on, or earlier
// (`blocks` < 0), when the blocks that were left out are to be heard next, oldest first.
void harken_kalman_shift(harken_kalman *state, int blocks);

#endif
