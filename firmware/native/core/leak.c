#include "leak.h"

#include <string.h>

#include "bits.h"

// Bits of a fluctuation.
#define POINT 14
// Room for sums of bins.
#define POWER_SHIFT 4
#define LEAST 66
// A hop has at most this weight in the average: 1/32, Q8.
#define WEIGHT 8

void harken_leak_reset(harken_leak *state) {
    memset(state, 0, sizeof(*state));
}

static inline uint64_t larger(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

// Weight of a hop, Q16: less where the estimate is weak beside the error.
static int32_t weight_of(uint64_t estimate, uint64_t error) {
    int over = bit_length64(larger(estimate, error)) - 16;
    uint32_t part = (uint32_t)(over > 0 ? estimate >> over : estimate);
    uint32_t whole = (uint32_t)(over > 0 ? error >> over : error);
    if (part >= whole) {
        return WEIGHT << 8;
    }
    return (int32_t)(((part << 8) / whole) * WEIGHT);
}

static inline int32_t fluctuation(uint64_t now, uint64_t mean, int shift) {
    int64_t gap = (int64_t)now - (int64_t)mean;
    return (int32_t)(shift > 0 ? gap >> shift : gap);
}

// An average, Q22, that a new product, Q14, moves.
static inline int32_t moved(int32_t average, int32_t product, int32_t weight) {
    return average + (int32_t)(((int64_t)(product * 256 - average) * weight) >> 16);
}

void harken_leak_step(harken_leak *state, const complex32 *error, const complex32 *estimate) {
    uint64_t errors[LEAK_BANDS];
    uint64_t estimates[LEAK_BANDS];
    uint64_t all_errors = 0;
    uint64_t all_estimates = 0;
    for (unsigned band = 0; band < LEAK_BANDS; band++) {
        errors[band] = leak_band_power(error + band * LEAK_BAND_BINS, POWER_SHIFT);
        // The error's frame is half zeros.
        estimates[band] = leak_band_power(estimate + band * LEAK_BAND_BINS, POWER_SHIFT) >> 1;
        all_errors += errors[band];
        all_estimates += estimates[band];
    }
    int32_t weight = weight_of(all_estimates, all_errors);
    for (unsigned band = 0; band < LEAK_BANDS; band++) {
        uint64_t most = larger(
            larger(errors[band], state->error[band]), larger(estimates[band], state->estimate[band]));
        int shift = bit_length64(most) - POINT;
        int32_t rise = fluctuation(errors[band], state->error[band], shift);
        int32_t expected = fluctuation(estimates[band], state->estimate[band], shift);
        int32_t cross = (rise * expected) >> POINT;
        int32_t square = (expected * expected) >> POINT;
        state->cross[band] = moved(state->cross[band], cross, weight);
        state->square[band] = moved(state->square[band], square, weight);
        state->error[band] += (errors[band] >> 2) - (state->error[band] >> 2);
        state->estimate[band] += (estimates[band] >> 2) - (state->estimate[band] >> 2);
    }
}

static uint32_t ratio(int64_t cross, int64_t square) {
    if (square <= 0 || cross >= square) {
        return LEAK_ONE;
    }
    if (cross <= 0) {
        return LEAST;
    }
    int over = bit_length64((uint64_t)square) - 15;
    uint32_t part = (uint32_t)(over > 0 ? cross >> over : cross);
    uint32_t whole = (uint32_t)(over > 0 ? square >> over : square);
    uint32_t leak = (part << 16) / whole;
    return leak > LEAST ? leak : LEAST;
}

uint32_t harken_leak_of_all(const harken_leak *state) {
    int64_t cross = 0;
    int64_t square = 0;
    for (unsigned band = 0; band < LEAK_BANDS; band++) {
        cross += state->cross[band];
        square += state->square[band];
    }
    return ratio(cross, square);
}

uint32_t harken_leak_of_band(const harken_leak *state, unsigned band) {
    return ratio(state->cross[band], state->square[band]);
}
