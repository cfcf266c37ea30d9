#include "speech_features.h"

#include <string.h>

#include "bits.h"
#include "feature_tables.h"

#define WINDOW_BITS 12
#define NOISE_BITS 14
#define NOISE_SCALE_BITS 10
#define SNR_BITS 12
#define GAIN_SNR_SHIFT 6
#define GAIN_OUT_BITS 6
#define LOG_BITS 16
#define LOG_SEGMENT_BITS 7
#define LOG_LN2 45426
#define LOG_OUT_BITS 6
#define LOG_CORRECTION_BITS 3

// Smoothing of the noise estimate (0.025, 0.06) and the least part of a signal that stays (0.05).
#define NOISE_SMOOTHING_EVEN 409
#define NOISE_SMOOTHING_ODD 983
#define NOISE_MIN_REMAINING 819

uint32_t harken_features_size(void) {
    return sizeof(harken_features);
}

void harken_features_reset(harken_features *state) {
    memset(state, 0, sizeof(*state));
}

static inline int16_t windowed(const int16_t *input, unsigned n) {
    return (int16_t)((input[n] * window_q12[n]) >> WINDOW_BITS);
}

static inline uint32_t magnitude(int32_t value) {
    return (uint32_t)(value < 0 ? -value : value);
}

// Windows the input into the places where the transform wants it; the left shift that brings the loudest of
// it to full scale.
static int load_window(fft_bin *bins, const int16_t *input) {
    uint32_t bits = 0;
    for (unsigned n = 0; n < FEATURE_WINDOW / 2; n++) {
        halves value = {windowed(input, 2 * n), windowed(input, 2 * n + 1)};
        bits |= magnitude(value.r) | magnitude(value.i);
        bins[fft_slot(n)].value = value;
    }
    for (unsigned n = FEATURE_WINDOW / 2; n < FFT_COMPLEX; n++) {
        bins[fft_slot(n)].value = (halves){0, 0};
    }
    // -32768 has no int16 opposite: the reference takes it for softer than anything.
    return 15 - bit_length32(bits & 0x7fff);
}

static void amplify(fft_bin *bins, int shift) {
    for (unsigned n = 0; n < FFT_COMPLEX; n++) {
        halves value = bins[n].value;
        bins[n].value.r = (int16_t)((uint32_t)value.r << shift);
        bins[n].value.i = (int16_t)((uint32_t)value.i << shift);
    }
}

// Root of 0x4000 to 0xffff, rounded down; what is over its square goes to `rest`.
static uint32_t root_of_16_bits(uint32_t value, uint32_t *rest) {
    uint32_t root = 0;
    for (uint32_t bit = 0x4000; bit; bit >>= 2) {
        uint32_t least = root + bit;
        root >>= 1;
        if (value >= least) {
            value -= least;
            root += bit;
        }
    }
    *rest = value;
    return root;
}

// The root of a number from that of its upper half, and `low`, the upper and the lower `bits` of the other half
// (P. Zimmermann, "Karatsuba square root", INRIA research report 3805, 1999).
static uint32_t longer_root(uint32_t root, uint32_t *rest, uint32_t upper, uint32_t lower, int bits) {
    // Half of a quotient by 2 * root, so that it fits.
    uint32_t part = *rest << (bits - 1) | upper >> 1;
    uint32_t more = part / root;
    uint32_t over = ((part % root) << 1) | (upper & 1);
    root = (root << bits) + more;
    uint64_t left = (uint64_t)over << bits | lower;
    uint64_t square = (uint64_t)more * more;
    if (left < square) {
        left += 2 * (uint64_t)root - 1;
        root--;
    }
    *rest = (uint32_t)(left - square);
    return root;
}

// Square root, rounded to nearest; the largest result of each width is never rounded up.
static uint32_t rounded_sqrt(uint64_t value) {
    if (value == 0) {
        return 0;
    }
    int up = (64 - bit_length64(value)) & ~1;
    uint64_t normal = value << up;
    uint32_t high = (uint32_t)(normal >> 32);
    uint32_t low = (uint32_t)normal;
    uint32_t rest;
    uint32_t root = root_of_16_bits(high >> 16, &rest);
    root = longer_root(root, &rest, high >> 8 & 0xff, high & 0xff, 8);
    root = longer_root(root, &rest, low >> 16, low & 0xffff, 16) >> (up >> 1);
    uint32_t most = value >> 32 ? 0xffffffff : 0xffff;
    return root + (value - (uint64_t)root * root > root && root != most);
}

static void mel_channels(const fft_bin *bins, int shift, uint32_t *channels) {
    uint64_t carried = 0;
    unsigned bin = 0;
    for (unsigned band = 0; band <= FEATURE_CHANNELS; band++) {
        uint64_t own = carried;
        carried = 0;
        for (unsigned end = bin + band_widths[band]; bin < end; bin++) {
            // Sign-extended like the reference, which keeps energies in int32.
            uint64_t magnitude = (uint64_t)(int64_t)(int32_t)bins[BAND_FIRST_BIN + bin].energy;
            own += (uint64_t)band_weights[bin] * magnitude;
            carried += (uint64_t)band_unweights[bin] * magnitude;
        }
        if (band > 0) {
            channels[band - 1] = rounded_sqrt(own) >> shift;
        }
    }
}

// Subtracts the tracked noise of one channel; updates the estimate.
static uint32_t reduce_noise(uint32_t signal, uint32_t smoothing, uint32_t *noise) {
    uint32_t scaled = signal << NOISE_SCALE_BITS;
    uint32_t estimate = (uint32_t)(((uint64_t)scaled * smoothing +
        (uint64_t)*noise * ((1 << NOISE_BITS) - smoothing)) >> NOISE_BITS);
    *noise = estimate;
    if (estimate > scaled) {
        estimate = scaled;
    }
    uint32_t least = (uint32_t)(((uint64_t)signal * NOISE_MIN_REMAINING) >> NOISE_BITS);
    uint32_t reduced = (scaled - estimate) >> NOISE_SCALE_BITS;
    return reduced > least ? reduced : least;
}

// The gain for a noise level: one parabola an octave.
static uint32_t gain_for(uint32_t noise) {
    if (noise <= 2) {
        return (uint32_t)(int32_t)gain_curve[noise];
    }
    int octave = bit_length32(noise);
    const int16_t *curve = gain_curve + 4 * octave - 6;
    int32_t position = (int32_t)((octave < 11 ? noise << (11 - octave) : noise >> (octave - 11)) & 0x3ff);
    int32_t value = (curve[2] * position) >> 5;
    value += (int32_t)((uint32_t)curve[1] << 5);
    value *= position;
    value = (value + (1 << 14)) >> 15;
    return (uint32_t)(int32_t)(int16_t)(value + curve[0]);
}

static uint32_t normalise(uint32_t signal, uint32_t noise) {
    uint32_t snr = (uint32_t)(((uint64_t)signal * gain_for(noise)) >> GAIN_SNR_SHIFT);
    if (snr < 2u << SNR_BITS) {
        return (snr * snr) >> (2 + 2 * SNR_BITS - GAIN_OUT_BITS);
    }
    return (snr >> (SNR_BITS - GAIN_OUT_BITS)) - (1 << GAIN_OUT_BITS);
}

// 64 ln(8 value), by a piecewise linear correction of log2 (Q16).
static uint32_t log_scaled(uint32_t signal) {
    uint32_t value = signal << LOG_CORRECTION_BITS;
    if (value <= 1) {
        return 0;
    }
    uint32_t exponent = (uint32_t)bit_length32(value) - 1;
    int32_t fraction = (int32_t)(value - (1u << exponent));
    if (exponent < LOG_BITS) {
        fraction <<= LOG_BITS - exponent;
    } else {
        fraction >>= exponent - LOG_BITS;
    }
    int32_t segment = fraction >> (LOG_BITS - LOG_SEGMENT_BITS);
    int32_t base = log_curve[segment];
    int32_t rise = log_curve[segment + 1] - base;
    int32_t within = fraction - (segment << (LOG_BITS - LOG_SEGMENT_BITS));
    uint32_t log2 = (exponent << LOG_BITS) + (uint32_t)(fraction + base + ((rise * within) >> LOG_BITS));
    uint32_t half = 1u << (LOG_BITS - 1);
    uint32_t natural = (uint32_t)(((uint64_t)LOG_LN2 * log2 + half) >> LOG_BITS);
    return ((natural << LOG_OUT_BITS) + half) >> LOG_BITS;
}

// The feature / 25.6 in steps of 26/255 above -128: what microWakeWord models were trained on.
static int8_t quantised(uint32_t feature) {
    int32_t value = (int32_t)((feature * 2550 + 3328) / 6656) - 128;
    return (int8_t)(value > 127 ? 127 : value);
}

int harken_features_step(harken_features *state, const int16_t *pcm, int8_t *row) {
    memcpy(state->input + state->filled, pcm, FEATURE_HOP * sizeof(int16_t));
    state->filled += FEATURE_HOP;
    if (state->filled < FEATURE_WINDOW) {
        return 0;
    }
    int shift = load_window(state->bins, state->input);
    amplify(state->bins, shift);
    state->filled = FEATURE_WINDOW - FEATURE_HOP;
    memmove(state->input, state->input + FEATURE_HOP, state->filled * sizeof(int16_t));
    fft_complex(state->bins);
    fft_real_energy(state->bins);
    uint32_t channels[FEATURE_CHANNELS];
    mel_channels(state->bins, shift, channels);
    for (unsigned c = 0; c < FEATURE_CHANNELS; c++) {
        uint32_t smoothing = c & 1 ? NOISE_SMOOTHING_ODD : NOISE_SMOOTHING_EVEN;
        uint32_t signal = reduce_noise(channels[c], smoothing, &state->noise[c]);
        row[c] = quantised(log_scaled(normalise(signal, state->noise[c])));
    }
    return 1;
}

uint32_t harken_features_run(
    harken_features *state, const int16_t *pcm, uint32_t hops, int8_t *rows) {
    uint32_t written = 0;
    for (uint32_t n = 0; n < hops; n++) {
        written += (uint32_t)harken_features_step(
            state, pcm + (size_t)n * FEATURE_HOP, rows + (size_t)written * FEATURE_CHANNELS);
    }
    return written;
}
