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

// The left shift that brings the loudest windowed sample to full scale.
static int headroom(const int16_t *input) {
    int16_t loudest = 0;
    for (unsigned n = 0; n < FEATURE_WINDOW; n++) {
        int16_t value = windowed(input, n);
        // -32768 has no int16 opposite and stays negative here, as in the reference.
        int16_t magnitude = (int16_t)(value < 0 ? -value : value);
        loudest = magnitude > loudest ? magnitude : loudest;
    }
    return 15 - bit_length32((uint32_t)loudest);
}

static void load_spectrum(fft_bin *bins, const int16_t *input, int shift) {
    for (unsigned n = 0; n < FFT_COMPLEX; n++) {
        complex16 value = {0, 0};
        if (2 * n < FEATURE_WINDOW) {
            value.r = (int16_t)((uint32_t)windowed(input, 2 * n) << shift);
            value.i = (int16_t)((uint32_t)windowed(input, 2 * n + 1) << shift);
        }
        bins[fft_slot(n)].value = value;
    }
}

// Square root, rounded to nearest; the largest result of each width is never rounded up.
static uint32_t rounded_sqrt(uint64_t value) {
    uint64_t rest = value;
    uint64_t root = 0;
    for (int shift = (bit_length64(value) - 1) & ~1; shift >= 0; shift -= 2) {
        uint64_t bit = (uint64_t)1 << shift;
        if (rest >= root + bit) {
            rest -= root + bit;
            root = (root >> 1) + bit;
        } else {
            root >>= 1;
        }
    }
    uint32_t most = value >> 32 ? 0xffffffff : 0xffff;
    return (uint32_t)root + (rest > root && root != most);
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
    int shift = headroom(state->input);
    load_spectrum(state->bins, state->input, shift);
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
