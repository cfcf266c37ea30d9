#include "level.h"

#include "bits.h"

#define HALF_SCALE 16383
#define AUDIBLE 64
// Powers below are nothing.
#define LEAST 16

int harken_level(const int16_t *one, const int16_t *other) {
    int32_t total = 0;
    uint32_t power = 0;
    for (unsigned n = 0; n < LEVEL_HOP; n++) {
        int32_t value = one[n] - (other ? other[n] : 0);
        value = value > HALF_SCALE ? HALF_SCALE : value;
        value = value < -HALF_SCALE ? -HALF_SCALE : value;
        value >>= 1;
        total += value;
        power += (uint32_t)(value * value) >> 3;
    }
    // Rounded down, as in the other builds.
    int32_t mean = (total - (total < 0 ? LEVEL_HOP - 1 : 0)) / LEVEL_HOP;
    int32_t left = (int32_t)power - mean * mean * (LEVEL_HOP / 8);
    if (left < LEAST) {
        return 0;
    }
    int doublings = bit_length32((uint32_t)left) - 5;
    doublings = doublings > 0 ? doublings : 0;
    return (4 + doublings) * 16 + (left >> doublings) - 16;
}

int harken_amplify(const int16_t *in, int32_t gain, int32_t goal, int16_t *out) {
    int32_t step = (goal - gain) / LEVEL_HOP;
    int first = -1;
    for (int n = 0; n < LEVEL_HOP; n++) {
        int32_t value = (in[n] * gain) >> 15;
        gain += step;
        out[n] = (int16_t)value;
        if (first < 0 && (value > AUDIBLE || value < -AUDIBLE)) {
            first = n;
        }
    }
    return first;
}
