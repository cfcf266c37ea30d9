#include "echo.h"

#include <string.h>

uint32_t harken_echo_size(void) {
    return sizeof(harken_echo);
}

void harken_echo_reset(harken_echo *state) {
    memset(state, 0, sizeof(*state));
}

int harken_echo_step(harken_echo *state, const int16_t *mic, const int16_t *reference, int16_t *linear) {
    (void)reference;
    memset(state->estimate, 0, sizeof(state->estimate));
    memmove(linear, mic, sizeof(state->estimate));
    return 0;
}

const int16_t *harken_echo_estimate(const harken_echo *state) {
    return state->estimate;
}

int harken_echo_erle_db(const harken_echo *state) {
    (void)state;
    return 0;
}

int harken_echo_delay_ms(const harken_echo *state) {
    (void)state;
    return 0;
}
