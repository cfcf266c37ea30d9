#include "noise.h"

#include <string.h>

#include "log2.h"
#include "noise_tables.h"

#define BINS SPECTRUM_BINS

// How far noise is lowered, and echo that is heard alone.
#define NOISE_FLOOR LOG2_AMPLITUDE_DB(-20)
#define ECHO_FLOOR LOG2_AMPLITUDE_DB(-40)

// Weight of the last frame's answer in the a-priori ratio (Q10), and what the ratio stays between.
#define DECIDED 942
#define LEAST_RATIO LOG2_POWER_DB(-25)
#define MOST_RATIO (10 * LOG2_ONE)

// A bin that stays over its noise for this long (vowels do not) is noise that has risen; the noise then
// follows at 9 dB a second.
#define STEADY_FRAMES 100
#define STEADY_RISE 1966
#define STARTING_FRAMES 20
// Frames between two sums of all noise.
#define SUM_EVERY 8

// Smoothed ratios between which speech turns from absent to present: -10 and -5 dB in Q10.
#define ABSENT 102
#define PRESENT 324
#define AROUND 15

// Bins of 200 Hz to 4 kHz, where speech is told from other sound, and how far it is over that.
#define SPEECH_FIRST 4
#define SPEECH_LAST 80
#define SPEECH_BINS (SPEECH_LAST - SPEECH_FIRST + 1)
#define SPEECH_OVER LOG2_POWER_DB(6)

// Sum of the power of all bins, from that of half of them, over that of a mean square of 1: 320 samples,
// half of which the window takes, in units of 1024, is 25. This is its inverse in Q20.
#define UNIT_OF_POWER 41943

void harken_noise_reset(harken_noise *state) {
    memset(state, 0, sizeof(*state));
    for (unsigned k = 0; k < BINS; k++) {
        state->clean[k] = LOG2_ZERO;
        state->noise[k] = LOG2_ZERO * 64;
    }
}

static inline int32_t clamped(int32_t value, int32_t low, int32_t high) {
    return value < low ? low : value > high ? high : value;
}

// Entry of a table whose places are an eighth of log2 apart, with what lies between two of them.
static inline int32_t looked_up(const int16_t *table, int32_t from) {
    int32_t at = from >> 7;
    return table[at] + (((table[at + 1] - table[at]) * (from & 127)) >> 7);
}

// log2(1 + 2^x)
static inline int32_t soft_plus(int32_t x) {
    int32_t distance = x < 0 ? -x : x;
    int32_t over = distance < SOFT_PLUS_END ? looked_up(soft_plus_q10, distance) : 0;
    return x > 0 ? x + over : over;
}

// log2 of a sum, given those of its parts
static inline int32_t log2_sum(int32_t a, int32_t b) {
    return a > b ? a + soft_plus(b - a) : b + soft_plus(a - b);
}

// E1(2^v) / 2 as log2
static inline int32_t half_e1(int32_t v) {
    if (v >= E1_TO) {
        return 0;
    }
    int32_t below = v < E1_FROM ? E1_FROM - v : 0;
    return looked_up(half_e1_q10, (v < E1_FROM ? E1_FROM : v) - E1_FROM) + (below >> 1);
}

static inline int32_t noise_of(const harken_noise *state, unsigned bin) {
    return state->noise[bin] >> 6;
}

static void track_bin(harken_noise *state, unsigned k, int32_t level) {
    int32_t over = level - noise_of(state, k);
    int32_t step = looked_up(noise_step_q16, clamped(over, TRACK_FROM, TRACK_TO) - TRACK_FROM);
    if (over < 2 * LOG2_ONE) {
        state->steady[k] = (uint16_t)(state->steady[k] >> 1);
    } else if (state->steady[k] < STEADY_FRAMES) {
        state->steady[k]++;
    } else if (step < STEADY_RISE) {
        step = STEADY_RISE;
    }
    state->noise[k] += step;
}

// A muted microphone gives exact zeros, which say nothing about the room.
static int is_mute(const int16_t *level) {
    for (unsigned k = 0; k < BINS; k++) {
        if (level[k] != LOG2_ZERO) {
            return 0;
        }
    }
    return 1;
}

// Follows the noise where echo does not cover it.
static void track(harken_noise *state, const noise_frame *frame) {
    int starting = state->heard < STARTING_FRAMES;
    for (unsigned k = 0; k < BINS; k++) {
        int32_t level = frame->level[k] * 64;
        if (state->heard == 0) {
            state->noise[k] = level;
        } else if (!frame->residue || frame->residue[k] < noise_of(state, k)) {
            track_bin(state, k, frame->level[k]);
            state->noise[k] += starting && level > state->noise[k] ? (level - state->noise[k]) >> 3 : 0;
        }
    }
    state->heard += (uint32_t)starting;
}

// Mean square of all of the noise.
static void sum_up(harken_noise *state) {
    uint64_t sum = 0;
    for (unsigned k = 0; k < BINS; k++) {
        sum += exp2_q10(noise_of(state, k), 4);
    }
    sum = (sum * UNIT_OF_POWER) >> 20;
    state->level = sum > UINT32_MAX ? UINT32_MAX : (uint32_t)sum;
}

// Counts the bins of speech that are over noise and echo.
static void find_speech(harken_noise *state, const noise_frame *frame) {
    uint32_t over = 0;
    for (unsigned k = SPEECH_FIRST; k <= SPEECH_LAST; k++) {
        int32_t noise = noise_of(state, k);
        int32_t other = frame->residue && frame->residue[k] > noise ? frame->residue[k] : noise;
        over += frame->level[k] > other + SPEECH_OVER;
    }
    // At first the noise is hardly known.
    state->speech = state->heard < STARTING_FRAMES ? 0 : (int32_t)(over * 255 / SPEECH_BINS);
}

// What covers speech in a bin: noise and echo, as far as they are to be taken away.
static inline int32_t interference(const harken_noise *state, const noise_frame *frame, unsigned k) {
    int statistical = frame->suppress_noise && !frame->bands;
    int32_t noise = statistical ? noise_of(state, k) : LOG2_ZERO;
    return frame->suppress_echo && frame->residue ? log2_sum(noise, frame->residue[k]) : noise;
}

// The a-priori ratio, decision-directed.
static inline int32_t ratio_of(const harken_noise *state, unsigned k, int32_t over, int32_t covered) {
    uint32_t decided = exp2_q10(clamped(state->clean[k] - covered, LOG2_ZERO, MOST_RATIO), 10);
    uint32_t power = exp2_q10(clamped(over, LOG2_ZERO, MOST_RATIO), 10);
    uint32_t fresh = power > LOG2_ONE ? power - LOG2_ONE : 0;
    uint32_t ratio = (decided * DECIDED + fresh * (LOG2_ONE - DECIDED)) >> 10;
    int32_t log2 = log2_q10(ratio) - 10 * LOG2_ONE;
    return log2 < LEAST_RATIO ? LEAST_RATIO : log2;
}

// Probability, Q8, that a smoothed ratio is that of speech.
static inline uint32_t likely(uint32_t ratio) {
    if (ratio <= ABSENT) {
        return 0;
    }
    return ratio >= PRESENT ? 256 : ((ratio - ABSENT) << 8) / (PRESENT - ABSENT);
}

// Smooths the a-priori ratios over time; their mean over the bins of speech.
static uint32_t smooth_ratios(harken_noise *state, const int16_t *ratios) {
    uint32_t sum = 0;
    for (unsigned k = 0; k < BINS; k++) {
        uint32_t ratio = exp2_q10(clamped(ratios[k], LEAST_RATIO, 6 * LOG2_ONE - 1), 10);
        state->ratio[k] = (uint16_t)((state->ratio[k] * 7u + ratio * 3u) / 10u);
        if (k >= SPEECH_FIRST && k <= SPEECH_LAST) {
            sum += state->ratio[k];
        }
    }
    return sum / SPEECH_BINS;
}

// Probability of speech in each bin before its power is looked at, Q8, from the ratios near it, in a
// wider band around it and in the whole frame (Cohen and Berdugo, 2001, section 4).
static void expect_speech(const harken_noise *state, uint32_t frame_mean, uint16_t *expected) {
    uint32_t in_frame = likely(frame_mean);
    uint32_t wide = 0;
    for (unsigned k = 0; k < AROUND; k++) {
        wide += state->ratio[k];
    }
    for (unsigned k = 0; k < BINS; k++) {
        unsigned low = k < AROUND ? 0 : k - AROUND;
        unsigned high = k + AROUND < BINS ? k + AROUND : BINS - 1;
        if (k + AROUND < BINS) {
            wide += state->ratio[k + AROUND];
        }
        uint32_t left = state->ratio[k ? k - 1 : 0];
        uint32_t right = state->ratio[k + 1 < BINS ? k + 1 : k];
        uint32_t local = (left + 2u * state->ratio[k] + right) >> 2;
        uint32_t joint = (likely(local) * likely(wide / (high - low + 1))) >> 8;
        expected[k] = (uint16_t)((joint * in_frame) >> 8);
        if (k >= AROUND) {
            wide -= state->ratio[k - AROUND];
        }
    }
}

// Probability of speech, Q10, by what was expected (Q8), the a-priori ratio and v = ratio / (1 + ratio) x
// power over interference, both log2.
static inline uint32_t speech_in(uint32_t expected, int32_t ratio, int32_t v) {
    int32_t doubt = absence_q10[expected >> 2] + soft_plus(ratio);
    // v log2(e)
    doubt -= (int32_t)((exp2_q10(clamped(v, LOG2_ZERO, 6 * LOG2_ONE), 10) * 1477u) >> 10);
    return exp2_q10(-soft_plus(clamped(doubt, -16 * LOG2_ONE, 16 * LOG2_ONE)), 10);
}

// The least gain: noise may stay at its floor, echo at its own.
static inline int32_t floor_of(const harken_noise *state, const noise_frame *frame, unsigned k) {
    int32_t noise_floor = frame->suppress_noise ? NOISE_FLOOR : 0;
    if (!frame->suppress_echo || !frame->residue) {
        return noise_floor;
    }
    int32_t noise = noise_of(state, k);
    int32_t echo = frame->residue[k];
    int32_t left = log2_sum(noise + 2 * noise_floor, echo + 2 * ECHO_FLOOR);
    return clamped((left - log2_sum(noise, echo)) >> 1, ECHO_FLOOR, noise_floor);
}

// A model's gain at a bin, log2, from those of its bands.
static inline int32_t band_gain(const int16_t *bands, unsigned k, unsigned *band) {
    int32_t at = (int32_t)(k << 8);
    while (*band < NOISE_BANDS && band_center_q8[*band] <= at) {
        (*band)++;
    }
    if (*band == 0 || *band == NOISE_BANDS) {
        return bands[*band ? NOISE_BANDS - 1 : 0];
    }
    int32_t low = band_center_q8[*band - 1];
    int32_t high = band_center_q8[*band];
    return bands[*band - 1] + (bands[*band] - bands[*band - 1]) * (at - low) / (high - low);
}

// Gain of a bin without interference.
static int32_t untouched(harken_noise *state, const noise_frame *frame, unsigned k) {
    state->clean[k] = frame->level[k];
    return 0;
}

// Gain of a bin, log2, by the a-priori ratio and the probability of speech expected there.
static int32_t gain_of(harken_noise *state, int32_t level, unsigned k, int32_t ratio, int32_t covered,
                       uint32_t expected, int32_t least) {
    int32_t wiener = -soft_plus(-ratio);
    int32_t v = level - covered + wiener;
    int32_t gain = clamped(wiener + half_e1(v), 2 * ECHO_FLOOR, 0);
    state->clean[k] = (int16_t)clamped(level + 2 * gain, LOG2_ZERO, INT16_MAX);
    int32_t present = (int32_t)speech_in(expected, ratio, v);
    return (gain * present + least * (LOG2_ONE - present)) >> 10;
}

static void find_gains(harken_noise *state, const noise_frame *frame, uint16_t *gains) {
    int16_t covered[BINS];
    int16_t ratios[BINS];
    uint16_t expected[BINS];
    for (unsigned k = 0; k < BINS; k++) {
        covered[k] = (int16_t)clamped(interference(state, frame, k), LOG2_ZERO, INT16_MAX);
        ratios[k] = (int16_t)ratio_of(state, k, frame->level[k] - covered[k], covered[k]);
    }
    expect_speech(state, smooth_ratios(state, ratios), expected);
    unsigned band = 0;
    for (unsigned k = 0; k < BINS; k++) {
        int32_t least = floor_of(state, frame, k);
        int32_t gain = covered[k] == LOG2_ZERO
                           ? untouched(state, frame, k)
                           : gain_of(state, frame->level[k], k, ratios[k], covered[k], expected[k], least);
        if (frame->bands && frame->suppress_noise) {
            gain += band_gain(frame->bands, k, &band);
        }
        gains[k] = (uint16_t)exp2_q10(clamped(gain, least, 0), 15);
    }
}

void harken_noise_step(harken_noise *state, const noise_frame *frame, uint16_t *gains) {
    if (!is_mute(frame->level)) {
        track(state, frame);
    }
    find_speech(state, frame);
    if (state->until_sum-- == 0) {
        state->until_sum = SUM_EVERY - 1;
        sum_up(state);
    }
    if (gains) {
        find_gains(state, frame, gains);
    }
}

int harken_noise_speech(const harken_noise *state) {
    return state->speech;
}

int harken_noise_db(const harken_noise *state) {
    // Mean square in Q4 of 32768^2.
    int32_t log2 = log2_q10(state->level) - 34 * LOG2_ONE;
    int32_t db = (log2 * 3083 + (1 << 19)) >> 20;
    return db < NOISE_LEAST_DB ? NOISE_LEAST_DB : db;
}
