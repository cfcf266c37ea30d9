#include "spectrum.h"

#include <string.h>

#include "log2.h"
#include "spectrum_tables.h"

// Frames go into the transform with three bits more than samples have.
#define FRAME_POINT 3
#define TAIL_POINT 11
// |X|^2 / 1024, X having those three bits.
#define POWER_SHIFT (10 + 2 * FRAME_POINT)

void harken_spectrum_reset(harken_spectrum *state) {
    memset(state, 0, sizeof(*state));
}

static inline int32_t window(unsigned n) {
    return root_hann_q15[n < SPECTRUM_HOP ? n : 2 * SPECTRUM_HOP - 1 - n];
}

void harken_spectrum_analyse(harken_spectrum *state, const int16_t *before, const int16_t *hop) {
    int32_t *samples = state->frame.samples;
    const int32_t half = 1 << (14 - FRAME_POINT);
    for (unsigned n = 0; n < SPECTRUM_HOP; n++) {
        samples[n] = (before[n] * window(n) + half) >> (15 - FRAME_POINT);
        samples[SPECTRUM_HOP + n] = (hop[n] * window(SPECTRUM_HOP + n) + half) >> (15 - FRAME_POINT);
    }
    fft320_forward(&state->frame, state->bins);
}

void harken_spectrum_power(const harken_spectrum *state, uint32_t *power, int16_t *level) {
    for (unsigned k = 0; k < SPECTRUM_BINS; k++) {
        int64_t r = state->bins[k].r;
        int64_t i = state->bins[k].i;
        uint64_t square = (uint64_t)(r * r + i * i);
        uint64_t number = (square + (1u << (POWER_SHIFT - 1))) >> POWER_SHIFT;
        power[k] = number > UINT32_MAX ? UINT32_MAX : (uint32_t)number;
        int32_t log2 = square ? log2_q10(square) - POWER_SHIFT * LOG2_ONE : LOG2_ZERO;
        level[k] = (int16_t)(log2 > INT16_MAX ? INT16_MAX : log2);
    }
}

static int16_t saturated(int32_t sample) {
    return (int16_t)(sample > INT16_MAX ? INT16_MAX : sample < INT16_MIN ? INT16_MIN : sample);
}

// What a frame adds at place `n`, Q11, windowed for the second time.
static inline int32_t windowed(int32_t sample, unsigned n) {
    return (int32_t)(((int64_t)sample * window(n)) >> (15 + FRAME_POINT - TAIL_POINT));
}

// The same where nothing was changed in between. The two weights of a sample add to exactly one.
static inline int32_t passed(int16_t sample, unsigned n) {
    int32_t rising = window(n % SPECTRUM_HOP);
    int32_t hann = (rising * rising) >> 15;
    int32_t weight = n < SPECTRUM_HOP ? hann : SPECTRUM_GAIN_ONE - hann;
    return (sample * weight) >> (15 - TAIL_POINT);
}

static void apply(complex32 *bins, const uint16_t *gains) {
    for (unsigned k = 0; k < SPECTRUM_BINS; k++) {
        if (gains[k] < SPECTRUM_GAIN_ONE) {
            bins[k].r = (int32_t)(((int64_t)bins[k].r * gains[k]) >> 15);
            bins[k].i = (int32_t)(((int64_t)bins[k].i * gains[k]) >> 15);
        }
    }
}

void harken_spectrum_finish(
    harken_spectrum *state, const uint16_t *gains, const int16_t *hop, int16_t *out) {
    const int32_t *samples = state->frame.samples;
    if (gains) {
        apply(state->bins, gains);
        fft320_inverse(state->bins, &state->frame);
    }
    for (unsigned n = 0; n < SPECTRUM_HOP; n++) {
        unsigned late = SPECTRUM_HOP + n;
        int32_t rising = gains ? windowed(samples[n], n) : passed(state->before[n], n);
        int32_t falling = gains ? windowed(samples[late], late) : passed(hop[n], late);
        int16_t came = hop[n];
        out[n] = saturated((state->tail[n] + rising + (1 << (TAIL_POINT - 1))) >> TAIL_POINT);
        state->tail[n] = falling;
        state->before[n] = came;
    }
}
