#include "kalman.h"

#include <string.h>

#include "pseudo_float.h"

#define P KALMAN_PARTITIONS
#define PATH_POINT 24
// 30 dB in one bin.
#define PATH_MOST (1 << 29)
// Bits of the reference's spectra.
#define SOUND_BITS 14

// At first a path of -10 dB is likely, 1.25 dB less with each partition.
#define FIRST_DOUBT 3435973837u // 0.1 at FIRST_EXPONENT
#define FIRST_EXPONENT (-3)
#define LEAST_EXPONENT (-14)
// Power of 1.4 samples' last bits in an error's bin, Q6.
#define LEAST_NEAR (1000 << (2 * KALMAN_POINT))
// Neighbouring bins differ little; at least this part of their mean power may be in a bin.
#define SPREAD_SHIFT 3
// Partitions near the direct sound are held to their length in time more often.
#define EARLY 4
// A path that may have changed by this much in a step, Q16, is still being learnt.
#define MUCH 256

static uint32_t decayed(uint32_t power, unsigned partitions) {
    while (partitions--) {
        power -= power >> 2;
    }
    return power;
}

void harken_kalman_reset(harken_kalman *state) {
    memset(state, 0, sizeof(*state));
    state->doubt_exponent = FIRST_EXPONENT;
    for (unsigned p = 0; p < P; p++) {
        uint32_t doubt = decayed(FIRST_DOUBT, p);
        for (unsigned k = 0; k < KALMAN_BINS; k++) {
            state->doubt[k][p] = doubt;
        }
    }
}

static inline uint32_t magnitude(int32_t value) {
    return value < 0 ? 0u - (uint32_t)value : (uint32_t)value;
}

// Makes room for the loudest block, or gives back what a loud one no longer needs.
static void scale_sound(harken_kalman *state) {
    int32_t needed = 0;
    for (unsigned p = 0; p < P; p++) {
        int32_t bits = state->peak_bits[p] - SOUND_BITS;
        needed = bits > needed ? bits : needed;
    }
    int32_t more = needed - state->sound_exponent;
    if (more <= 0 && more > -3) {
        return;
    }
    state->sound_exponent = needed;
    halves *sound = state->sound[0];
    for (halves *end = sound + KALMAN_BINS * P; sound < end; sound++) {
        if (more > 0) {
            sound->r = (int16_t)(sound->r >> more);
            sound->i = (int16_t)(sound->i >> more);
        } else {
            sound->r = (int16_t)(sound->r * (1 << -more));
            sound->i = (int16_t)(sound->i * (1 << -more));
        }
    }
}

void harken_kalman_hear(harken_kalman *state, const int16_t *samples) {
    fft320_frame frame;
    complex32 bins[KALMAN_BINS];
    for (unsigned n = 0; n < FFT320; n++) {
        frame.samples[n] = samples[n] * (1 << KALMAN_POINT);
    }
    fft320_forward(&frame, bins);
    uint32_t peak = 0;
    for (unsigned k = 0; k < KALMAN_BINS; k++) {
        peak |= magnitude(bins[k].r) | magnitude(bins[k].i);
    }
    memmove(state->peak_bits + 1, state->peak_bits, P - 1);
    state->peak_bits[0] = (uint8_t)bit_length32(peak);
    for (unsigned k = 0; k < KALMAN_BINS; k++) {
        halves older[P - 1];
        halves *sound = state->sound[k];
        memcpy(older, sound, sizeof(older));
        memcpy(sound + 1, older, sizeof(older));
        sound[0] = (halves){0, 0};
    }
    scale_sound(state);
    int32_t exponent = state->sound_exponent;
    int32_t half = exponent ? 1 << (exponent - 1) : 0;
    for (unsigned k = 0; k < KALMAN_BINS; k++) {
        state->sound[k][0].r = (int16_t)((bins[k].r + half) >> exponent);
        state->sound[k][0].i = (int16_t)((bins[k].i + half) >> exponent);
    }
}

static inline int32_t limited(int64_t value, int32_t most) {
    return (int32_t)(value > most ? most : value < -most ? -most : value);
}

// In the unit of spectra, at most what the inverse transform takes.
static inline int32_t echo_part(int64_t sum, int up) {
    return limited(up >= 0 ? sum * (1 << up) : sum >> -up, (1 << 27) - 1);
}

// The echo in a bin. Products of real and imaginary parts are added up apart, / 2^16, so that sums of twelve
// stay within 32 bits.
static inline complex32 echo_in(const complex32 *path, const halves *sound, int up) {
    int32_t rr = 0;
    int32_t ii = 0;
    int32_t ri = 0;
    int32_t ir = 0;
    for (const complex32 *end = path + P; path < end; path++, sound++) {
        rr = halves_add_r(rr, path->r, *sound);
        ii = halves_add_i(ii, path->i, *sound);
        ri = halves_add_i(ri, path->r, *sound);
        ir = halves_add_r(ir, path->i, *sound);
    }
    return (complex32){echo_part((int64_t)rr - ii, up), echo_part((int64_t)ri + ir, up)};
}

void harken_kalman_estimate(const harken_kalman *state, complex32 *spectrum, int32_t *echo) {
    fft320_frame frame;
    int up = state->sound_exponent - (PATH_POINT - 16);
    for (unsigned k = 0; k < KALMAN_BINS; k++) {
        spectrum[k] = echo_in(state->path[k], state->sound[k], up);
    }
    fft320_inverse(spectrum, &frame);
    memcpy(echo, frame.samples + KALMAN_HOP, KALMAN_HOP * sizeof(*echo));
}

// What all partitions of a bin have in common for one step.
typedef struct {
    halves error;          // with its leading bit at 14
    uint32_t path_inverse; // 1 / (echo that is left + what is no echo), with its leading bit at 30 or below
    uint32_t doubt_inverse;
    int path_shift;  // to what is learnt, 1 to 31
    int doubt_shift; // to what is no longer in doubt, Q16, 1 to 31
} kalman_gain;

static inline uint32_t high_of(uint32_t a, uint32_t b) {
    return (uint32_t)(((uint64_t)a * b) >> 32);
}

// Bits `shift` to `shift` + 31; 1 to 31.
static inline uint32_t middle_of(uint64_t value, int shift) {
    return (uint32_t)value >> shift | (uint32_t)(value >> 32) << (32 - shift);
}

// The echo expected to be left in a bin, as power.
static inline uint64_t doubtful(const harken_kalman *state, unsigned k) {
    const uint32_t *doubt = state->doubt[k];
    const halves *sound = state->sound[k];
    uint64_t sum = 0;
    for (const halves *end = sound + P; sound < end; sound++) {
        sum += (uint64_t)(halves_power(*sound) >> 2) * *doubt++;
    }
    return sum;
}

static int clamped(int value, int low, int high) {
    return value < low ? low : value > high ? high : value;
}

static inline int16_t normal(int32_t value, int up) {
    return (int16_t)(up >= 0 ? value * (1 << up) : value >> -up);
}

static kalman_gain gain_of(harken_kalman *state, unsigned k, complex32 error) {
    uint64_t square = (uint64_t)((int64_t)error.r * error.r + (int64_t)error.i * error.i);
    state->near[k] += (square >> 4) - (state->near[k] >> 4);
    int sound_point = state->sound_exponent - KALMAN_POINT;
    // Half of the echo's power, since half of the error's frame is zeros.
    pseudo_float echo =
        pseudo_of(doubtful(state, k), 2 + 2 * sound_point + state->doubt_exponent - 32 - 1);
    state->unlearnt[k] = pseudo_whole(echo, 10);
    pseudo_float all = pseudo_sum(echo, pseudo_of(state->near[k] + LEAST_NEAR, -2 * KALMAN_POINT));
    int exponent = all.exponent + 15;
    int up = 15 - bit_length32(magnitude(error.r) | magnitude(error.i));
    uint32_t inverse = 0x7fffffffu / (all.mantissa >> 15) << 15;
    int path_shift = 25 + exponent + up - state->doubt_exponent - sound_point;
    // Each bin's turn comes every other step, and counts twice.
    int doubt_shift = 30 + exponent - state->doubt_exponent - 2 * sound_point;
    // What is over 31 is taken off the inverse.
    return (kalman_gain){
        .error = {normal(error.r, up), normal(error.i, up)},
        .path_inverse = inverse >> clamped(path_shift - 31, 0, 31),
        .doubt_inverse = inverse >> clamped(doubt_shift - 31, 0, 31),
        .path_shift = clamped(path_shift, 1, 31),
        .doubt_shift = clamped(doubt_shift, 1, 31),
    };
}

// A part of the path, moved by as much as `product` says.
static inline int32_t moved(int32_t path, int64_t product, int shift) {
    int32_t by = (int32_t)middle_of((uint64_t)product, shift);
    return within_30_bits(saturated_sum(path, by));
}

// Moves a bin's path towards the error. Not inlined: it needs all registers for itself.
static __attribute__((noinline)) void correct(
    const kalman_gain *gain, complex32 *path, const uint32_t *doubt, const halves *sound) {
    const halves error = gain->error;
    const uint32_t inverse = gain->path_inverse;
    const int shift = gain->path_shift;
    for (complex32 *end = path + P; path < end; path++) {
        int32_t step = (int32_t)high_of(*doubt++, inverse);
        halves heard = *sound++;
        // The error times the reference's conjugate.
        int64_t r = (int64_t)halves_turned_r(error, heard) * step;
        int64_t i = (int64_t)halves_turned_i(error, heard) * step;
        path->r = moved(path->r, r, shift);
        path->i = moved(path->i, i, shift);
    }
}

// Q20
static inline uint32_t path_power(complex32 path) {
    int32_t r = path.r >> (PATH_POINT - 10);
    int32_t i = path.i >> (PATH_POINT - 10);
    return (uint32_t)(r * r) + (uint32_t)(i * i);
}

// How the doubt in all bins changes in a step.
typedef struct {
    uint32_t added; // from a path's power to what it adds to the doubt, Q8
    uint32_t kept;  // of the doubt, Q16, less than all
    uint32_t most;
    uint32_t floors[P]; // least power of the path that may change, Q20
    uint64_t strength[P];
} kalman_drift;

// Lessens the doubt in a bin by what was learnt, and adds what may have changed.
static __attribute__((noinline)) void settle(kalman_drift *drift, const kalman_gain *gain, const complex32 *path,
                                             uint32_t *doubt, const halves *sound) {
    const uint32_t inverse = gain->doubt_inverse;
    const int shift = gain->doubt_shift;
    const uint32_t kept = drift->kept;
    const uint32_t added = drift->added;
    uint32_t most = drift->most;
    for (unsigned p = 0; p < P; p++) {
        uint32_t step = high_of(doubt[p], inverse);
        uint32_t settled = middle_of((uint64_t)step * halves_power(sound[p]), shift);
        uint32_t open = settled < 65535 ? 65536 - settled : 1;
        uint32_t power = path_power(path[p]);
        drift->strength[p] += power;
        power = power > drift->floors[p] ? power : drift->floors[p];
        uint64_t next = high_of(doubt[p], open * kept) + (((uint64_t)power * added) >> 8);
        doubt[p] = next > UINT32_MAX ? UINT32_MAX : (uint32_t)next;
        most |= doubt[p];
    }
    drift->most = most;
}

// Brings the largest doubt near the top of its 32 bits.
static void scale_doubt(harken_kalman *state, uint32_t most) {
    int down = most >> 31 != 0;
    if (!down && (most >> 27 != 0 || state->doubt_exponent <= LEAST_EXPONENT)) {
        return;
    }
    state->doubt_exponent += down ? 2 : -2;
    uint32_t *doubt = state->doubt[0];
    for (uint32_t *end = doubt + KALMAN_BINS * P; doubt < end; doubt++) {
        *doubt = down ? *doubt >> 2 : *doubt << 2;
    }
}

// Keeps a partition from reaching over its 10 ms: what its second half says is taken off again.
static void constrain(harken_kalman *state, unsigned p) {
    complex32 bins[KALMAN_BINS];
    fft320_frame frame;
    uint32_t peak = 0;
    for (unsigned k = 0; k < KALMAN_BINS; k++) {
        peak |= magnitude(state->path[k][p].r) | magnitude(state->path[k][p].i);
    }
    int over = bit_length32(peak) - 23;
    int shift = over > 0 ? over : 0;
    for (unsigned k = 0; k < KALMAN_BINS; k++) {
        bins[k] = (complex32){state->path[k][p].r >> shift, state->path[k][p].i >> shift};
    }
    fft320_inverse(bins, &frame);
    memset(frame.samples, 0, KALMAN_HOP * sizeof(frame.samples[0]));
    fft320_forward(&frame, bins);
    for (unsigned k = 0; k < KALMAN_BINS; k++) {
        complex32 *path = &state->path[k][p];
        path->r = limited((int64_t)path->r - bins[k].r * ((int64_t)1 << shift), PATH_MOST);
        path->i = limited((int64_t)path->i - bins[k].i * ((int64_t)1 << shift), PATH_MOST);
    }
}

static void begin_drift(const harken_kalman *state, uint32_t change, uint32_t expected, kalman_drift *drift) {
    // Each bin's turn comes every other step, and counts twice.
    drift->kept = 65536 - 2 * change;
    // Powers are Q20, changes Q16, doubts 32 bits over their exponent.
    int up = 4 - state->doubt_exponent;
    drift->added = up >= 0 ? 2 * change << up : 2 * change >> -up;
    drift->most = 0;
    for (unsigned p = 0; p < P; p++) {
        uint32_t mean = (uint32_t)(state->strength[p] / (KALMAN_BINS / 2)) >> SPREAD_SHIFT;
        uint32_t least = decayed(expected, p);
        drift->floors[p] = mean > least ? mean : least;
        drift->strength[p] = 0;
    }
}

void harken_kalman_learn(harken_kalman *state, const complex32 *error, uint32_t change, uint32_t expected) {
    kalman_drift drift;
    unsigned turn = state->turn;
    begin_drift(state, change, expected, &drift);
    for (unsigned k = 0; k < KALMAN_BINS; k++) {
        const kalman_gain gain = gain_of(state, k, error[k]);
        complex32 *path = state->path[k];
        uint32_t *doubt = state->doubt[k];
        const halves *sound = state->sound[k];
        correct(&gain, path, doubt, sound);
        if ((k ^ turn) & 1) {
            settle(&drift, &gain, path, doubt, sound);
        }
    }
    memcpy(state->strength, drift.strength, sizeof(drift.strength));
    scale_doubt(state, drift.most);
    // One of them while little changes, by turns; both while much does.
    if ((turn & 1) || change > MUCH) {
        constrain(state, (turn >> 1) % EARLY);
    }
    if (!(turn & 1) || change > MUCH) {
        constrain(state, EARLY + (turn >> 1) % (P - EARLY));
    }
    state->turn = turn + 1 == 2 * EARLY * (P - EARLY) ? 0 : turn + 1;
}

void harken_kalman_shift(harken_kalman *state, int blocks) {
    for (unsigned k = 0; k < KALMAN_BINS; k++) {
        complex32 path[P];
        uint32_t doubt[P];
        for (int p = 0; p < P; p++) {
            int from = p + blocks;
            int inside = from >= 0 && from < P;
            path[p] = inside ? state->path[k][from] : (complex32){0, 0};
            // As unsure of what is new as of the nearest that is known.
            doubt[p] = state->doubt[k][inside ? from : blocks > 0 ? P - 1 : 0];
        }
        memcpy(state->path[k], path, sizeof(path));
        memcpy(state->doubt[k], doubt, sizeof(doubt));
    }
    memset(state->strength, 0, sizeof(state->strength));
    if (blocks > 0) {
        // The newest blocks leave; what is older than the oldest is not known.
        unsigned gone = (unsigned)(blocks < P ? blocks : P);
        for (unsigned k = 0; k < KALMAN_BINS; k++) {
            memmove(state->sound[k], state->sound[k] + gone, (P - gone) * sizeof(halves));
            memset(state->sound[k] + P - gone, 0, gone * sizeof(halves));
        }
        memmove(state->peak_bits, state->peak_bits + gone, P - gone);
        memset(state->peak_bits + P - gone, 0, gone);
    }
}
