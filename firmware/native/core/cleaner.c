#include "cleaner.h"

#include <string.h>

uint32_t harken_cleaner_size(void) {
    return sizeof(harken_cleaner);
}

void harken_cleaner_init(harken_cleaner *state) {
    state->parts = CLEANER_ALL;
    harken_cleaner_reset(state);
}

void harken_cleaner_reset(harken_cleaner *state) {
    harken_echo_reset(&state->echo);
}

void harken_cleaner_switch(harken_cleaner *state, uint32_t parts) {
    state->parts = parts & CLEANER_ALL;
}

void harken_cleaner_gains(harken_cleaner *state, const uint8_t *gains) {
    (void)state;
    (void)gains;
}

int harken_cleaner_step(
    harken_cleaner *state, const int16_t *mic, const int16_t *reference, int16_t *out, int16_t *linear) {
    int16_t cancelled[CLEANER_HOP];
    int flags = 0;
    if (state->parts & CLEANER_ECHO) {
        flags = harken_echo_step(&state->echo, mic, reference, cancelled);
    } else {
        memcpy(cancelled, mic, sizeof(cancelled));
    }
    memcpy(out, cancelled, sizeof(cancelled));
    if (linear) {
        memcpy(linear, cancelled, sizeof(cancelled));
    }
    return flags;
}

int harken_cleaner_erle_db(const harken_cleaner *state) {
    return harken_echo_erle_db(&state->echo);
}

int harken_cleaner_delay_ms(const harken_cleaner *state) {
    return harken_echo_delay_ms(&state->echo);
}

int harken_cleaner_noise_db(const harken_cleaner *state) {
    (void)state;
    return -96;
}

int harken_cleaner_gain_db(const harken_cleaner *state) {
    (void)state;
    return 0;
}

uint32_t harken_cleaner_run(
    harken_cleaner *state, const int16_t *mic, const int16_t *reference, uint32_t hops, int16_t *out,
    int16_t *linear) {
    uint32_t limited = 0;
    for (uint32_t hop = 0; hop < hops; hop++) {
        uint32_t at = hop * CLEANER_HOP;
        int flags = harken_cleaner_step(
            state, mic + at, reference ? reference + at : 0, out + at, linear ? linear + at : 0);
        limited += (flags & CLEANER_LIMITED) != 0;
    }
    return limited;
}
