// Voice activity: the probability of a model where there is one, else energy over a tracked noise floor.
//
// The floor is the minimum of the smoothed power over the last 2.5 s, kept in blocks (minimum
// statistics: R. Martin, "Noise power spectral density estimation based on optimal smoothing and
// minimum statistics", IEEE Trans. Speech and Audio Processing 9(5), 2001). It is tracked either way.
//
// By energy, a hop counts where its level is over the floor by the threshold, 3 dB less once an
// utterance has begun, and two of the last three hops that count are speech. By the model, a hop is
// speech where the mean of its last two probabilities is 0.5, or 0.4 once an utterance has begun, unless
// it is too quiet to be a voice: no model hears how loud a sound is in features that are normalised by
// channel. An utterance begins with three such hops in a row and ends when the hang-over has passed.
#ifndef HARKEN_VAD_H
#define HARKEN_VAD_H

#include <stdint.h>

#include "export.h"

#define VAD_HOP 160
#define VAD_SMOOTHED 3
#define VAD_BLOCKS 10
#define VAD_BLOCK_HOPS 25

#define VAD_SPEECH 1
#define VAD_UTTERANCE 2

typedef struct {
    uint64_t energies[VAD_SMOOTHED];
    int32_t last_sample;
    int32_t high_passed; // Q4, and the two before it
    int32_t before;
    int32_t earlier;
    int32_t threshold;   // dB, Q8, like all levels here
    int32_t hangover;    // hops
    int32_t level;
    int32_t floor;
    int32_t block_minimum;
    int32_t minima[VAD_BLOCKS];
    uint32_t block;
    uint32_t hops_in_block;
    uint32_t history; // one bit a hop, the newest lowest
    uint32_t heard;   // hops that updated the floor, at most VAD_SMOOTHED
    int32_t utterance;
    int32_t since_speech;
    int32_t probability; // of the hop before, -1 where there was none
} harken_vad;

HARKEN_EXPORT uint32_t harken_vad_size(void);

// As new, with the default threshold of 9 dB and hang-over of 500 ms.
HARKEN_EXPORT void harken_vad_init(harken_vad *state);

// Forgets the sound and the floor; keeps what `harken_vad_tune` set.
HARKEN_EXPORT void harken_vad_reset(harken_vad *state);

// -1 leaves a value as it is; 0 where one is out of range (1..60 dB, 0..10000 ms), else 1.
HARKEN_EXPORT int harken_vad_tune(harken_vad *state, int threshold_db, int hangover_ms);

// Takes 160 samples at 16 kHz and what a model says of them, 0..255, or -1 where there is none and
// energy decides; VAD_SPEECH | VAD_UTTERANCE.
HARKEN_EXPORT int harken_vad_step(harken_vad *state, const int16_t *pcm, int probability);

// Level of the last hop and the floor under it, in dB of full scale (0 is the loudest square wave).
HARKEN_EXPORT int harken_vad_level_db(const harken_vad *state);
HARKEN_EXPORT int harken_vad_floor_db(const harken_vad *state);

#endif
