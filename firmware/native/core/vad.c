#include "vad.h"

#include <string.h>

#include "log2.h"

#define DB(value) ((int32_t)((value) * 256))
#define FULL_SCALE DB(112.35) // 160 samples of 32768
#define SILENCE DB(-96)
// The minimum of many noisy values lies below their mean by about this.
#define MINIMUM_BIAS DB(1.5)
#define HYSTERESIS DB(3)
// Twice the probabilities that are speech, outside and inside an utterance.
#define LIKELY (2 * 128)
#define STILL_LIKELY (2 * 102)
// A voice is not this faint, nor this far under what the room never went below.
#define FAINTEST DB(-80)
#define UNDER_FLOOR DB(6)
#define DEFAULT_THRESHOLD DB(9)
#define DEFAULT_HANGOVER 50
#define HOP_MS 10
#define ONSET_HOPS 3

uint32_t harken_vad_size(void) {
    return sizeof(harken_vad);
}

void harken_vad_init(harken_vad *state) {
    state->threshold = DEFAULT_THRESHOLD;
    state->hangover = DEFAULT_HANGOVER;
    harken_vad_reset(state);
}

void harken_vad_reset(harken_vad *state) {
    int32_t threshold = state->threshold;
    int32_t hangover = state->hangover;
    memset(state, 0, sizeof(*state));
    state->threshold = threshold;
    state->hangover = hangover;
    state->level = SILENCE;
    state->floor = SILENCE;
    state->probability = -1;
}

int harken_vad_tune(harken_vad *state, int threshold_db, int hangover_ms) {
    if (threshold_db != -1 && (threshold_db < 1 || threshold_db > 60)) {
        return 0;
    }
    if (hangover_ms != -1 && (hangover_ms < 0 || hangover_ms > 10000)) {
        return 0;
    }
    if (threshold_db != -1) {
        state->threshold = DB(threshold_db);
    }
    if (hangover_ms != -1) {
        state->hangover = hangover_ms / HOP_MS;
    }
    return 1;
}

// Energy of a hop in the band of voices: a first-order high-pass at 160 Hz takes away offset, hum and
// rumble, and a triangle of three samples (-3 dB at 2.9 kHz) most of a hiss.
static uint64_t energy_of(harken_vad *state, const int16_t *pcm) {
    uint64_t energy = 0;
    int32_t last = state->last_sample;
    int32_t high = state->high_passed;
    int32_t before = state->before;
    int32_t earlier = state->earlier;
    for (unsigned n = 0; n < VAD_HOP; n++) {
        high += (pcm[n] - last) * 16 - (high >> 4);
        last = pcm[n];
        int32_t sample = (high + 2 * before + earlier) >> 6;
        earlier = before;
        before = high;
        energy += (uint64_t)((int64_t)sample * sample);
    }
    state->last_sample = last;
    state->high_passed = high;
    state->before = before;
    state->earlier = earlier;
    return energy;
}

// 10 log10 in Q8
static int32_t decibels(uint64_t energy) {
    return energy ? (log2_q8(energy) * 12330) >> 12 : SILENCE + FULL_SCALE;
}

static void track_floor(harken_vad *state, uint64_t energy) {
    memmove(state->energies, state->energies + 1, sizeof(state->energies) - sizeof(state->energies[0]));
    state->energies[VAD_SMOOTHED - 1] = energy;
    if (state->heard < VAD_SMOOTHED) {
        state->heard++;
    }
    uint64_t sum = 0;
    for (unsigned n = VAD_SMOOTHED - state->heard; n < VAD_SMOOTHED; n++) {
        sum += state->energies[n];
    }
    int32_t smoothed = decibels(sum / state->heard) - FULL_SCALE;
    if (state->heard == 1) {
        for (unsigned n = 0; n < VAD_BLOCKS; n++) {
            state->minima[n] = smoothed;
        }
        state->block_minimum = smoothed;
    }
    if (smoothed < state->block_minimum) {
        state->block_minimum = smoothed;
    }
    state->minima[state->block] = state->block_minimum;
    if (++state->hops_in_block == VAD_BLOCK_HOPS) {
        state->hops_in_block = 0;
        state->block = (state->block + 1) % VAD_BLOCKS;
        state->block_minimum = smoothed;
    }
    int32_t least = state->minima[0];
    for (unsigned n = 1; n < VAD_BLOCKS; n++) {
        least = state->minima[n] < least ? state->minima[n] : least;
    }
    state->floor = least + MINIMUM_BIAS;
}

static int over_floor(const harken_vad *state) {
    return state->level > state->floor + state->threshold - (state->utterance ? HYSTERESIS : 0);
}

static int likely(harken_vad *state, int probability) {
    int before = state->probability < 0 ? probability : state->probability;
    state->probability = probability;
    if (state->level < FAINTEST || state->level < state->floor - UNDER_FLOOR) {
        return 0;
    }
    return probability + before >= (state->utterance ? STILL_LIKELY : LIKELY);
}

static int majority(uint32_t history) {
    return (history & 1) + (history >> 1 & 1) + (history >> 2 & 1) >= 2;
}

static void follow_utterance(harken_vad *state, int speech) {
    if (speech) {
        state->since_speech = 0;
        uint32_t onset = (1u << ONSET_HOPS) - 1;
        if ((state->history & onset) == onset) {
            state->utterance = 1;
        }
        return;
    }
    if (state->since_speech < state->hangover) {
        state->since_speech++;
    } else {
        state->utterance = 0;
    }
}

int harken_vad_step(harken_vad *state, const int16_t *pcm, int probability) {
    uint64_t energy = energy_of(state, pcm);
    state->level = decibels(energy) - FULL_SCALE;
    // A muted microphone gives exact zeros, which say nothing about the room.
    if (energy != 0) {
        track_floor(state, energy);
    }
    int counts;
    if (probability < 0) {
        state->probability = -1;
        counts = over_floor(state);
    } else {
        counts = likely(state, probability);
    }
    counts = counts && energy != 0;
    state->history = state->history << 1 | (uint32_t)counts;
    // The model's answers are smooth already; a majority would only come later.
    int speech = probability < 0 ? majority(state->history) : counts;
    follow_utterance(state, speech);
    return (speech ? VAD_SPEECH : 0) | (state->utterance ? VAD_UTTERANCE : 0);
}

static int rounded(int32_t level) {
    return (level + 128) >> 8;
}

int harken_vad_level_db(const harken_vad *state) {
    return rounded(state->level);
}

int harken_vad_floor_db(const harken_vad *state) {
    return rounded(state->floor);
}
