#include "delay.h"

#include <string.h>

#include "log2.h"

#define FIRST_BIN 2
#define BAND_BINS 4
// Frames enter the transform with some bits more.
#define POINT 3
// A band's power below that of 2 in each of its samples is silence: log2 of 320 * 2^2, shifted by POINT.
#define SILENT ((10 + 2 * POINT) * LOG2_ONE)
// Averages over 8 frames and over 64.
#define MEAN_SHIFT 3
#define MATCH_SHIFT 6
// An eighth of a factor of two is one step of a pattern.
#define STEP_SHIFT 5
#define PATTERN_MOST 127
// So many frames must have been compared, and the match be best for so many.
#define ENOUGH 20
#define LASTING 5
// The correlation of a match to be believed: 0.3, its square as 1/11.
#define SQUARED_INVERSE 11

void harken_delay_reset(harken_delay *state) {
    memset(state, 0, sizeof(*state));
    for (unsigned band = 0; band < DELAY_BANDS; band++) {
        state->reference_mean[band] = SILENT;
        state->mic_mean[band] = SILENT;
    }
}

// By how much each band is over its average, which follows.
static void find_pattern(const int16_t *samples, int32_t *mean, int8_t *pattern) {
    fft320_frame frame;
    complex32 bins[FFT320_BINS];
    for (unsigned n = 0; n < FFT320; n++) {
        frame.samples[n] = samples[n] * (1 << POINT);
    }
    fft320_forward(&frame, bins);
    const complex32 *bin = bins + FIRST_BIN;
    for (unsigned band = 0; band < DELAY_BANDS; band++) {
        uint64_t power = 0;
        for (unsigned k = 0; k < BAND_BINS; k++, bin++) {
            power += (uint64_t)((int64_t)bin->r * bin->r + (int64_t)bin->i * bin->i) >> 2;
        }
        int32_t level = log2_q10(power);
        level = level > SILENT ? level : SILENT;
        int32_t over = (level - mean[band]) >> STEP_SHIFT;
        over = over > PATTERN_MOST ? PATTERN_MOST : over < -PATTERN_MOST ? -PATTERN_MOST : over;
        pattern[band] = (int8_t)over;
        mean[band] += (level - mean[band]) >> MEAN_SHIFT;
    }
}

static int32_t product(const int8_t *a, const int8_t *b) {
    int32_t sum = 0;
    for (unsigned band = 0; band < DELAY_BANDS; band++) {
        sum += a[band] * b[band];
    }
    return sum;
}

static inline int32_t smoothed(int32_t average, int32_t value) {
    // Products are below 2^19: there is room for more bits.
    return average + ((value * 256 - average) >> MATCH_SHIFT);
}

static void compare(harken_delay *state, const int8_t *mic) {
    unsigned best = 0;
    for (unsigned lag = 0; lag < DELAY_LAGS; lag++) {
        const int8_t *pattern = state->patterns[(state->newest + lag) % DELAY_LAGS];
        state->match[lag] = smoothed(state->match[lag], product(pattern, mic));
        best = state->match[lag] > state->match[best] ? lag : best;
    }
    const int8_t *now = state->patterns[state->newest];
    state->reference_strength = smoothed(state->reference_strength, product(now, now));
    state->mic_strength = smoothed(state->mic_strength, product(mic, mic));
    if (best != state->best) {
        state->best = best;
        state->lasting = 0;
    }
    state->lasting += state->lasting < LASTING;
    state->compared += state->compared < ENOUGH;
}

int harken_delay_step(harken_delay *state, const int16_t *mic, const int16_t *reference, int audible) {
    int8_t pattern[DELAY_BANDS];
    state->newest = (state->newest + DELAY_LAGS - 1) % DELAY_LAGS;
    find_pattern(reference, state->reference_mean, state->patterns[state->newest]);
    find_pattern(mic, state->mic_mean, pattern);
    if (audible) {
        compare(state, pattern);
    }
    if (state->compared < ENOUGH || state->lasting < LASTING) {
        return DELAY_UNKNOWN;
    }
    int64_t match = state->match[state->best];
    int64_t most = (int64_t)state->reference_strength * state->mic_strength;
    return match > 0 && match * match * SQUARED_INVERSE > most ? (int)state->best : DELAY_UNKNOWN;
}
