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

typedef struct {
    int64_t r;
    int64_t i;
} complex64;

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

// Makes room for the loudest block in the ring, or gives back what a loud one no longer needs.
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
    kalman_sound *sound = state->sound[0];
    for (kalman_sound *end = sound + KALMAN_BINS * P; sound < end; sound++) {
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
    unsigned slot = state->newest ? state->newest - 1 : P - 1;
    state->newest = slot;
    state->peak_bits[slot] = (uint8_t)bit_length32(peak);
    for (unsigned k = 0; k < KALMAN_BINS; k++) {
        state->sound[k][slot] = (kalman_sound){0, 0};
    }
    scale_sound(state);
    int32_t exponent = state->sound_exponent;
    int32_t half = exponent ? 1 << (exponent - 1) : 0;
    for (unsigned k = 0; k < KALMAN_BINS; k++) {
        state->sound[k][slot].r = (int16_t)((bins[k].r + half) >> exponent);
        state->sound[k][slot].i = (int16_t)((bins[k].i + half) >> exponent);
    }
}

static inline int32_t limited(int64_t value, int32_t most) {
    return (int32_t)(value > most ? most : value < -most ? -most : value);
}

// Adds the echo from `count` partitions whose blocks lie one after the other in the ring.
static inline complex64 add_echo(
    complex64 echo, const complex32 *path, const kalman_sound *sound, unsigned count) {
    for (const complex32 *end = path + count; path < end; path++, sound++) {
        int32_t r = sound->r;
        int32_t i = sound->i;
        echo.r += (int64_t)path->r * r;
        echo.r += (int64_t)path->i * -i;
        echo.i += (int64_t)path->r * i;
        echo.i += (int64_t)path->i * r;
    }
    return echo;
}

void harken_kalman_estimate(const harken_kalman *state, complex32 *spectrum, int32_t *echo) {
    fft320_frame frame;
    int shift = PATH_POINT - state->sound_exponent;
    unsigned newest = state->newest;
    for (unsigned k = 0; k < KALMAN_BINS; k++) {
        complex64 sum = {0, 0};
        sum = add_echo(sum, state->path[k], state->sound[k] + newest, P - newest);
        sum = add_echo(sum, state->path[k] + P - newest, state->sound[k], newest);
        spectrum[k].r = limited(sum.r >> shift, (1 << 27) - 1);
        spectrum[k].i = limited(sum.i >> shift, (1 << 27) - 1);
    }
    fft320_inverse(spectrum, &frame);
    memcpy(echo, frame.samples + KALMAN_HOP, KALMAN_HOP * sizeof(*echo));
}

// What all partitions of a bin have in common for one step.
typedef struct {
    complex32 error;  // with its leading bit at 28
    uint32_t inverse; // 16 bits of 1 / (echo that is left + what is no echo)
    int path_shift;   // to what is learnt
    int doubt_shift;  // to what is no longer in doubt, Q16
} kalman_gain;

static inline uint32_t power_of(kalman_sound sound) {
    return (uint32_t)(sound.r * sound.r + sound.i * sound.i);
}

// The echo expected to be left in a bin, as power.
static inline uint64_t doubtful(const harken_kalman *state, unsigned k) {
    const uint32_t *doubt = state->doubt[k];
    const kalman_sound *sound = state->sound[k] + state->newest;
    const kalman_sound *last = state->sound[k] + P - 1;
    uint64_t sum = 0;
    for (unsigned p = 0; p < P; p++) {
        sum += (uint64_t)(power_of(*sound) >> 2) * doubt[p];
        sound = sound == last ? last - (P - 1) : sound + 1;
    }
    return sum;
}

static int clamped(int value, int low, int high) {
    return value < low ? low : value > high ? high : value;
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
    int spare = 29 - bit_length32(magnitude(error.r) | magnitude(error.i));
    return (kalman_gain){
        .error = {error.r * (1 << spare), error.i * (1 << spare)},
        .inverse = 0x7fffffffu / (all.mantissa >> 15),
        .path_shift = clamped(10 + exponent + spare - state->doubt_exponent - sound_point, 0, 63),
        .doubt_shift = clamped(31 + exponent - state->doubt_exponent - 2 * sound_point, 1, 63),
    };
}

// Moves `count` partitions of a bin towards the error. Not inlined, since compilers for 32 bits then widen
// what is the same for all partitions to 64 bits, and multiply in 64 by 64.
static __attribute__((noinline)) void correct(
    const kalman_gain *gain, complex32 *path, const uint32_t *doubt, const kalman_sound *sound, unsigned count) {
    int shift = gain->path_shift;
    for (complex32 *end = path + count; path < end; path++, doubt++, sound++) {
        int32_t step = (int32_t)(((uint64_t)*doubt * gain->inverse) >> 17);
        int32_t r = sound->r;
        int32_t i = sound->i;
        // The error times the reference's conjugate.
        int64_t real = (int64_t)gain->error.r * r;
        real += (int64_t)gain->error.i * i;
        int64_t imaginary = (int64_t)gain->error.i * r;
        imaginary += (int64_t)gain->error.r * -i;
        path->r = limited(path->r + (((int64_t)(int32_t)(real >> 15) * step) >> shift), PATH_MOST);
        path->i = limited(path->i + (((int64_t)(int32_t)(imaginary >> 15) * step) >> shift), PATH_MOST);
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
    uint32_t kept;  // of the doubt, Q16
    uint32_t most;
    uint32_t floors[P]; // least power of the path that may change, Q20
    uint64_t strength[P];
} kalman_drift;

// Lessens the doubt in partitions `first` to `last` of a bin by what was learnt, and adds what may have changed.
static inline void settle(
    kalman_drift *drift, const kalman_gain *gain, const complex32 *path, uint32_t *doubt,
    const kalman_sound *sound, unsigned first, unsigned last) {
    for (unsigned p = first; p < last; p++) {
        uint32_t step = (uint32_t)(((uint64_t)doubt[p] * gain->inverse) >> 17);
        uint64_t settled = ((uint64_t)step * power_of(*sound++)) >> gain->doubt_shift;
        uint32_t open = settled < 65535 ? 65536 - (uint32_t)settled : 1;
        uint32_t power = path_power(path[p]);
        drift->strength[p] += power;
        power = power > drift->floors[p] ? power : drift->floors[p];
        uint32_t kept = (uint32_t)(((uint64_t)open * drift->kept) >> 16);
        uint64_t next = (((uint64_t)doubt[p] * kept) >> 16) + (((uint64_t)power * drift->added) >> 8);
        doubt[p] = next > UINT32_MAX ? UINT32_MAX : (uint32_t)next;
        drift->most |= doubt[p];
    }
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
    unsigned newest = state->newest;
    unsigned turn = state->turn;
    begin_drift(state, change, expected, &drift);
    for (unsigned k = 0; k < KALMAN_BINS; k++) {
        kalman_gain gain = gain_of(state, k, error[k]);
        complex32 *path = state->path[k];
        uint32_t *doubt = state->doubt[k];
        const kalman_sound *sound = state->sound[k];
        correct(&gain, path, doubt, sound + newest, P - newest);
        correct(&gain, path + P - newest, doubt + P - newest, sound, newest);
        if ((k ^ turn) & 1) {
            gain.doubt_shift -= 1;
            settle(&drift, &gain, path, doubt, sound + newest, 0, P - newest);
            settle(&drift, &gain, path, doubt, sound, P - newest, P);
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
    for (; blocks > 0; blocks--) {
        // The newest block leaves, and its place is that of one too old to be known.
        unsigned slot = state->newest;
        for (unsigned k = 0; k < KALMAN_BINS; k++) {
            state->sound[k][slot] = (kalman_sound){0, 0};
        }
        state->peak_bits[slot] = 0;
        state->newest = slot + 1 == P ? 0 : slot + 1;
    }
}
