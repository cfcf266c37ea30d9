#include "near.h"

#include <string.h>

// Part of the echo that may be left whatever the filter has learnt: -20 dB, Q16.
#define LEFT_ALWAYS 655
// Echo that was loud is over after this: 0.6 dB a hop.
#define ECHO_DECAY 3
// What a band of a talker is over, as factors of echo and noise.
#define OVER_ECHO 2
#define OVER_NOISE 4
// The floor falls by an eighth of the way, and rises by 0.4 % of itself, 1.7 dB a second.
#define FLOOR_FALL 3
#define FLOOR_RISE 8
#define FLOOR_LEAST 40
// So many bands at once.
#define BANDS_OVER 3
// So many hops in a row; a single one prolongs it.
#define HOPS_OVER 5
// Hops for which it holds, through the dips of speech.
#define HOLD 20
#define SUSPECTED 0xff
// Powers of bins from Q6 to 1 / 1024.
#define POWER_SHIFT 16

void harken_near_reset(harken_near *state) {
    memset(state, 0, sizeof(*state));
}

// The floor under the power of a band.
static uint64_t follow(uint64_t floor, uint64_t power) {
    if (floor == 0) {
        floor = power;
    } else if (power < floor) {
        floor -= (floor - power) >> FLOOR_FALL;
    } else {
        floor += (floor >> FLOOR_RISE) + 1;
    }
    return floor > FLOOR_LEAST ? floor : FLOOR_LEAST;
}

int harken_near_step(harken_near *state, const harken_leak *leak, const complex32 *error,
                     const complex32 *estimate, const uint32_t *unlearnt) {
    unsigned over = 0;
    for (unsigned band = 0; band < NEAR_BANDS; band++) {
        unsigned first = band * LEAK_BAND_BINS;
        uint64_t power = leak_band_power(error + first, POWER_SHIFT);
        uint64_t echo = leak_band_power(estimate + first, POWER_SHIFT) >> 1;
        state->echo[band] -= state->echo[band] >> ECHO_DECAY;
        state->echo[band] = echo > state->echo[band] ? echo : state->echo[band];
        uint64_t left = 0;
        for (unsigned k = 0; k < LEAK_BAND_BINS; k++) {
            left += unlearnt[first + k];
        }
        uint64_t part = harken_leak_of_band(leak, band) + LEFT_ALWAYS;
        left += (state->echo[band] >> 16) * part + (((state->echo[band] & 0xffff) * part) >> 16);
        over += band > 0 && power > OVER_ECHO * left + OVER_NOISE * state->floor[band];
        state->floor[band] = follow(state->floor[band], power);
    }
    state->over = over;
    state->history = state->history << 1 | (over >= BANDS_OVER);
    const uint32_t row = (1u << HOPS_OVER) - 1;
    state->holding -= state->holding > 0;
    if ((state->history & row) == row || (state->holding > 0 && (state->history & 1))) {
        state->holding = HOLD;
    }
    return state->holding > 0;
}

int harken_near_suspected(const harken_near *state) {
    return (state->history & SUSPECTED) != 0;
}
