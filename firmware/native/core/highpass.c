#include "highpass.h"

#include <string.h>

// 80 Hz at 16 kHz: (1 - 2 z^-1 + z^-2) b / (1 + a1 z^-1 + a2 z^-2), Q28.
#define POINT 28
#define B 262538058
#define A1 (-524946537)
#define A2 256770238

#define OUTPUT_POINT 12

void harken_highpass_reset(harken_highpass *state) {
    memset(state, 0, sizeof(*state));
}

static int16_t rounded(int32_t output) {
    int32_t sample = (output + (1 << (OUTPUT_POINT - 1))) >> OUTPUT_POINT;
    return (int16_t)(sample > INT16_MAX ? INT16_MAX : sample < INT16_MIN ? INT16_MIN : sample);
}

void harken_highpass_step(harken_highpass *state, const int16_t *in, int16_t *out) {
    int32_t x1 = state->input[0];
    int32_t x2 = state->input[1];
    int32_t y1 = state->output[0];
    int32_t y2 = state->output[1];
    int32_t error = state->error;
    for (unsigned n = 0; n < HIGHPASS_HOP; n++) {
        int32_t x = in[n];
        int32_t bend = (x - 2 * x1 + x2) * (1 << OUTPUT_POINT);
        int64_t sum = (int64_t)bend * B - (int64_t)y1 * A1 - (int64_t)y2 * A2 + error;
        int32_t y = (int32_t)(sum >> POINT);
        error = (int32_t)(sum & ((1 << POINT) - 1));
        x2 = x1;
        x1 = x;
        y2 = y1;
        y1 = y;
        out[n] = rounded(y);
    }
    state->input[0] = x1;
    state->input[1] = x2;
    state->output[0] = y1;
    state->output[1] = y2;
    state->error = error;
}
