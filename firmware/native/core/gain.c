#include "gain.h"

#include <string.h>

#include "log2.h"

// log2 in Q16, of a power and of an amplitude.
#define POWER_DB(value) (LOG2_POWER_DB(value) * 64)
#define AMPLITUDE_DB(value) (LOG2_AMPLITUDE_DB(value) * 64)

#define FULL_SCALE (30 * 65536)
// -20 dB of full scale; the level as it is followed here is 2.5 dB over the mean.
#define TARGET (FULL_SCALE + POWER_DB(-17.5))
#define MOST_GAIN AMPLITUDE_DB(24)
// Noise is not lifted over this.
#define NOISE_CEILING_DB (-46)

// A hop this far below the level is no part of active speech.
#define PAUSE POWER_DB(15)
// The level moves by 1/16 of the way up and 1/64 down; all of the way at first, then ever less.
#define RISE 16
#define FALL 64

// In one hop: 6 dB a second up, twice that at first; 40 dB a second down.
#define UP AMPLITUDE_DB(0.06)
#define DOWN AMPLITUDE_DB(0.4)
#define STARTING_HOPS 200

#define FACTOR_ONE 2048
#define LIMIT_ONE 4096
// -1 dB of full scale.
#define CEILING 29204
// The limiter works in blocks of 1 ms and rises by 3 dB in 50.
#define BLOCK 16
#define BLOCKS (GAIN_HOP / BLOCK)
#define RELEASE 24

uint32_t harken_gain_size(void) {
    return sizeof(harken_gain);
}

void harken_gain_reset(harken_gain *state) {
    memset(state, 0, sizeof(*state));
    state->level = TARGET;
    state->factor = FACTOR_ONE;
    state->limit = LIMIT_ONE;
}

static inline int32_t magnitude(int32_t value) {
    return value < 0 ? -value : value;
}

// Mean square of a hop, log2 in Q16. The last eight bits of each square matter to nothing that counts as speech.
static int32_t level_of(const int16_t *in) {
    uint32_t sum = 0;
    for (unsigned n = 0; n < GAIN_HOP; n++) {
        sum += (uint32_t)(in[n] * in[n]) >> 8;
    }
    return (log2_q10(sum / (GAIN_HOP / 16)) + 4 * LOG2_ONE) * 64;
}

static void follow_speech(harken_gain *state, int32_t level) {
    if (state->heard < STARTING_HOPS) {
        state->heard++;
    } else if (level < state->level - PAUSE) {
        return;
    }
    int32_t distance = level - state->level;
    // The mean is one of power, so one step is log2(1 + (2^distance - 1) / slowness).
    int32_t far = distance > 8 * 65536 ? 8 * 65536 : distance;
    int32_t ratio = (int32_t)exp2_q10(far >> 6, 10);
    int32_t slowness = distance > 0 ? RISE : FALL;
    if (state->heard < slowness) {
        slowness = state->heard;
    }
    int32_t moved = LOG2_ONE + (ratio - LOG2_ONE) / slowness;
    state->level += (log2_q10((uint64_t)(moved < 1 ? 1 : moved)) - 10 * LOG2_ONE) * 64;
}

static void move_gain(harken_gain *state, int speech, int noise_db) {
    int32_t most = AMPLITUDE_DB(1) * (NOISE_CEILING_DB - noise_db);
    most = most < 0 ? 0 : most > MOST_GAIN ? MOST_GAIN : most;
    int32_t wanted = speech ? (TARGET - state->level) / 2 : state->gain;
    wanted = wanted < 0 ? 0 : wanted > most ? most : wanted;
    int32_t up = state->heard < STARTING_HOPS ? 2 * UP : UP;
    int32_t step = wanted - state->gain;
    state->gain += step > up ? up : step < -DOWN ? -DOWN : step;
}

// Amplifies into `loud`, along a straight line from the last hop's factor; the peak of each block.
static void amplify(harken_gain *state, const int16_t *in, int32_t *loud, int32_t *peaks) {
    int32_t reached = (int32_t)exp2_q10(state->gain >> 6, 11);
    int32_t factor = state->factor * 256;
    int32_t slope = (reached * 256 - factor) / GAIN_HOP;
    for (unsigned block = 0; block < BLOCKS; block++) {
        int32_t peak = 0;
        for (unsigned n = block * BLOCK; n < (block + 1) * BLOCK; n++) {
            factor += slope;
            loud[n] = (in[n] * (factor >> 8)) >> 11;
            peak = magnitude(loud[n]) > peak ? magnitude(loud[n]) : peak;
        }
        peaks[block] = peak;
    }
    state->factor = reached;
}

static inline int32_t allowed(int32_t peak) {
    return peak > CEILING ? CEILING * LIMIT_ONE / peak : LIMIT_ONE;
}

static inline int16_t capped(int32_t sample) {
    return (int16_t)(sample > CEILING ? CEILING : sample < -CEILING ? -CEILING : sample);
}

static int limit(harken_gain *state, const int32_t *loud, const int32_t *peaks, int16_t *out) {
    int worked = 0;
    int32_t from = state->limit;
    for (unsigned block = 0; block < BLOCKS; block++) {
        int32_t here = allowed(peaks[block]);
        int32_t to = block + 1 < BLOCKS ? allowed(peaks[block + 1]) : LIMIT_ONE;
        to = to < here ? to : here;
        to = to < from + RELEASE ? to : from + RELEASE;
        worked |= here < LIMIT_ONE;
        for (int32_t n = 0; n < BLOCK; n++) {
            int32_t factor = from + (((to - from) * (n + 1)) >> 4);
            // Only a peak at the very start of a hop, which nobody saw coming, is still over the ceiling.
            out[block * BLOCK + (unsigned)n] = capped((loud[block * BLOCK + (unsigned)n] * factor) >> 12);
        }
        from = to;
    }
    state->limit = from;
    return worked;
}

int harken_gain_step(harken_gain *state, const int16_t *in, int speech, int noise_db, int16_t *out) {
    int32_t loud[GAIN_HOP];
    int32_t peaks[BLOCKS];
    int32_t level = level_of(in);
    speech = speech && level > 0;
    if (speech) {
        follow_speech(state, level);
    }
    move_gain(state, speech, noise_db);
    amplify(state, in, loud, peaks);
    return limit(state, loud, peaks, out);
}

void harken_gain_rest(harken_gain *state, int16_t *pcm) {
    if (state->factor != FACTOR_ONE || state->limit != LIMIT_ONE) {
        int32_t loud[GAIN_HOP];
        int32_t peaks[BLOCKS];
        state->gain = 0;
        amplify(state, pcm, loud, peaks);
        limit(state, loud, peaks, pcm);
    }
    harken_gain_reset(state);
}

int harken_gain_db(const harken_gain *state) {
    return (state->gain / 64 * 602 + 51200) / 102400;
}
