#include "cleaner.h"

#include <string.h>

#include "log2.h"

// Of the bins of speech, as many must be over noise and echo (255: all) for the gain to take a hop as speech.
#define SPEECH_SHARE 36
// By how much the noise is lowered before it comes to the gain.
#define LOWERED_DB 16

// Samples from here on are cut off.
#define CLIPPED 32700

// What is counted as left of the echo over its estimate: less where it would cost the near talker, more
// where nobody else talks, most while the canceller has not learnt the room.
#define MARGIN_NEAR LOG2_POWER_DB(-1)
#define MARGIN_ALONE LOG2_POWER_DB(2)
#define MARGIN_LEARNING LOG2_POWER_DB(14)
// What it cannot learn in this time (sound that is cut off) it will not learn: 6 dB a second less from then on.
#define LEARNING_HOPS 300
#define LEARNING_FALL LOG2_POWER_DB(0.06)
// And where nothing shows that the microphone hears the reference at all, since something else plays or it
// comes too late, there is nobody but the near talker to suppress: 25 dB a second less.
#define MARGIN_DOUBTED LOG2_POWER_DB(-10)
#define BELIEVED_HOPS 100
#define DOUBTED_FALL LOG2_POWER_DB(0.25)

uint32_t harken_cleaner_size(void) {
    return sizeof(harken_cleaner);
}

void harken_cleaner_init(harken_cleaner *state) {
    state->parts = CLEANER_ALL;
    harken_cleaner_reset(state);
}

void harken_cleaner_reset(harken_cleaner *state) {
    uint32_t parts = state->parts;
    memset(state, 0, sizeof(*state));
    state->parts = parts;
    harken_highpass_reset(&state->highpass);
    harken_echo_reset(&state->echo);
    harken_residue_reset(&state->residue);
    harken_spectrum_reset(&state->spectrum);
    harken_noise_reset(&state->noise);
    harken_gain_reset(&state->gain);
}

void harken_cleaner_switch(harken_cleaner *state, uint32_t parts) {
    uint32_t added = parts & ~state->parts;
    if (added & CLEANER_ECHO) {
        // What it had heard lately is not what played lately.
        harken_echo_reset(&state->echo);
        harken_residue_reset(&state->residue);
    }
    state->parts = parts & CLEANER_ALL;
}

void harken_cleaner_gains(harken_cleaner *state, const uint8_t *gains) {
    state->modelled = gains != NULL;
    for (unsigned band = 0; gains && band < CLEANER_BANDS; band++) {
        state->bands[band] = (int16_t)(log2_q10(gains[band]) - log2_q10(255));
    }
}

// A margin that falls with each hop after the first `kept`.
static int32_t fallen(int32_t margin, uint32_t hops, uint32_t kept, int32_t fall, int32_t least) {
    uint32_t over = hops > kept ? hops - kept : 0;
    uint32_t most = (uint32_t)((margin - least) / fall);
    return over < most ? margin - (int32_t)over * fall : least;
}

static int32_t margin_of(const harken_echo *echo, int flags) {
    if (flags & ECHO_NEAR) {
        return MARGIN_NEAR;
    }
    if (flags & ECHO_CONVERGED) {
        return MARGIN_ALONE;
    }
    int32_t margin = fallen(MARGIN_LEARNING, echo->learnt, LEARNING_HOPS, LEARNING_FALL, MARGIN_ALONE);
    return fallen(margin, echo->doubted, BELIEVED_HOPS, DOUBTED_FALL, MARGIN_DOUBTED);
}

// Power of the echo that is left in the frame that ends with `hop`, log2.
static void find_residue(harken_cleaner *state, const int16_t *hop, int32_t margin, int16_t *residue,
                         int16_t *level) {
    harken_spectrum *spectrum = &state->spectrum;
    const int16_t *echo = harken_echo_estimate(&state->echo);
    harken_spectrum_analyse(spectrum, spectrum->estimate_before, echo);
    harken_spectrum_power(spectrum, state->powers[1], residue);
    harken_spectrum_analyse(spectrum, spectrum->before, hop);
    harken_spectrum_power(spectrum, state->powers[0], level);
    harken_residue_power(
        &state->residue, &state->echo, state->powers[0], state->powers[1], state->powers[2]);
    for (unsigned k = 0; k < SPECTRUM_BINS; k++) {
        int32_t left = log2_q10(state->powers[2][k]) + margin;
        residue[k] = (int16_t)(left < INT16_MAX ? left : INT16_MAX);
    }
    memcpy(spectrum->estimate_before, echo, sizeof(spectrum->estimate_before));
}

// Takes noise and left echo out of the hop before `hop`. Noise is followed even where it is let through.
static void filter(harken_cleaner *state, const int16_t *hop, int flags, int16_t *out) {
    int echoing = flags & ECHO_ACTIVE;
    harken_spectrum *spectrum = &state->spectrum;
    int16_t level[SPECTRUM_BINS];
    int16_t residue[SPECTRUM_BINS];
    uint16_t gains[SPECTRUM_BINS];
    if (echoing) {
        find_residue(state, hop, margin_of(&state->echo, flags), residue, level);
    } else {
        harken_spectrum_analyse(spectrum, spectrum->before, hop);
        harken_spectrum_power(spectrum, state->powers[0], level);
        memset(spectrum->estimate_before, 0, sizeof(spectrum->estimate_before));
    }
    noise_frame frame = {
        .level = level,
        .residue = echoing ? residue : NULL,
        .bands = state->modelled ? state->bands : NULL,
        .suppress_noise = (state->parts & CLEANER_NOISE) != 0,
        .suppress_echo = (state->parts & CLEANER_SUPPRESS) != 0,
    };
    int filtering = frame.suppress_noise || (frame.suppress_echo && echoing);
    harken_noise_step(&state->noise, &frame, filtering ? gains : NULL);
    harken_spectrum_finish(spectrum, filtering ? gains : NULL, hop, out);
}

// Whether somebody speaks, and not the loudspeaker alone.
static int is_speech(const harken_cleaner *state, int flags) {
    int alone = (flags & ECHO_ACTIVE) && !(flags & ECHO_NEAR);
    return !alone && harken_noise_speech(&state->noise) >= SPEECH_SHARE;
}

static int is_clipped(const int16_t *mic) {
    for (unsigned n = 0; n < CLEANER_HOP; n++) {
        if (mic[n] >= CLIPPED || mic[n] <= -CLIPPED) {
            return 1;
        }
    }
    return 0;
}

// Microphone to canceller's output.
static int cancel(harken_cleaner *state, const int16_t *mic, const int16_t *reference, int16_t *linear) {
    int16_t high[CLEANER_HOP];
    // It goes on when it is off, so that it has no old sound in it when it is on again.
    harken_highpass_step(&state->highpass, mic, high);
    const int16_t *hop = state->parts & CLEANER_HIGHPASS ? high : mic;
    if (state->parts & CLEANER_ECHO) {
        return harken_echo_step(&state->echo, hop, reference, linear);
    }
    memmove(linear, hop, sizeof(high));
    return 0;
}

static int amplify(harken_cleaner *state, int flags, int16_t *out) {
    if (!(state->parts & CLEANER_GAIN)) {
        harken_gain_rest(&state->gain, out);
        return 0;
    }
    int lowered = state->parts & CLEANER_NOISE ? LOWERED_DB : 0;
    int noise_db = harken_noise_db(&state->noise) - lowered;
    return harken_gain_step(&state->gain, out, is_speech(state, flags), noise_db, out);
}

int harken_cleaner_step(
    harken_cleaner *state, const int16_t *mic, const int16_t *reference, int16_t *out, int16_t *linear) {
    int16_t cancelled[CLEANER_HOP];
    int clipped = is_clipped(mic) ? CLEANER_CLIPPED : 0;
    int flags = cancel(state, mic, reference, cancelled);
    if (linear) {
        memcpy(linear, cancelled, sizeof(cancelled));
    }
    filter(state, cancelled, flags, out);
    return flags | clipped | (amplify(state, flags, out) ? CLEANER_LIMITED : 0);
}

int harken_cleaner_erle_db(const harken_cleaner *state) {
    return harken_echo_erle_db(&state->echo);
}

int harken_cleaner_delay_ms(const harken_cleaner *state) {
    return harken_echo_delay_ms(&state->echo);
}

int harken_cleaner_noise_db(const harken_cleaner *state) {
    return harken_noise_db(&state->noise);
}

int harken_cleaner_gain_db(const harken_cleaner *state) {
    return state->parts & CLEANER_GAIN ? harken_gain_db(&state->gain) : 0;
}

uint32_t harken_cleaner_run(
    harken_cleaner *state, const int16_t *mic, const int16_t *reference, uint32_t hops, int16_t *out,
    int16_t *linear) {
    uint32_t limited = 0;
    for (uint32_t hop = 0; hop < hops; hop++) {
        uint32_t at = hop * CLEANER_HOP;
        int flags = harken_cleaner_step(
            state, mic + at, reference ? reference + at : NULL, out + at, linear ? linear + at : NULL);
        limited += (flags & CLEANER_LIMITED) != 0;
    }
    return limited;
}
