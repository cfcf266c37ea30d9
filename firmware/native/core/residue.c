#include "residue.h"

#include <string.h>

// Part of the estimate that the loudspeaker adds as distortion, Q16: -27 dB.
#define DISTORTED 131
// What the estimate leaves behind in a hop, and how that dies away: -20 dB, 0.6 dB a hop.
#define TAIL_SHIFT 7
#define TAIL_DECAY 3
// The filter is four times as unsure as it thinks: it takes no bin to have to do with another.
#define UNLEARNT_SHIFT 2

void harken_residue_reset(harken_residue *state) {
    memset(state, 0, sizeof(*state));
}

static inline uint32_t least(uint64_t a, uint32_t b) {
    return a < b ? (uint32_t)a : b;
}

void harken_residue_power(harken_residue *state, const harken_echo *echo, const uint32_t *linear_power,
                          const uint32_t *estimate_power, uint32_t *residue_power) {
    uint64_t part = 0;
    for (unsigned k = 0; k < RESIDUE_BINS; k++) {
        if (k % LEAK_BAND_BINS == 0 && k / LEAK_BAND_BINS < LEAK_BANDS) {
            part = harken_leak_of_band(&echo->leak, k / LEAK_BAND_BINS) + DISTORTED;
        }
        uint32_t power = estimate_power[k];
        state->tail[k] -= state->tail[k] >> TAIL_DECAY;
        uint32_t unlearnt = echo->filter.unlearnt[k];
        uint32_t before = state->unlearnt[k];
        uint64_t left = ((part * power) >> 16) + state->tail[k];
        left += (uint64_t)(unlearnt > before ? unlearnt : before) << UNLEARNT_SHIFT;
        state->unlearnt[k] = unlearnt;
        state->tail[k] = least((uint64_t)state->tail[k] + (power >> (TAIL_SHIFT + TAIL_DECAY)), UINT32_MAX);
        residue_power[k] = least(left, linear_power[k]);
    }
}
