#include "echo.h"

#include <string.h>

#include "log2.h"

#define POINT KALMAN_POINT
#define LONGEST (ECHO_KEPT - 2)
// Samples of the reference up to this are not heard from the loudspeaker.
#define INAUDIBLE 8
// Estimates are kept within twice the range of samples.
#define ESTIMATE_MOST ((1 << (16 + POINT)) - 1)

// Part of the path that may change from hop to hop, Q16: at least, with all of it leaking, and at first.
#define CHANGE_LEAST 13
#define CHANGE_LEAK 1966
#define CHANGE_FIRST 1311
// Power that a path may have without anything being known of it, Q20: 0.01.
#define PATH_EXPECTED 10486
#define FIRST_HOPS 200

// The direct sound belongs into the second partition, and stays where it is up to the third.
#define DIRECT 1
#define DIRECT_LAST 2
#define ALIGN_HOPS 32

#define TRUSTED 32768
#define HARMFUL_HOPS 25

#define CONVERGED LOG2_POWER_DB(6)

// While the filter does not lower the echo, the reference's patterns alone show that there is one. Patterns of
// another programme are found now and then, those of an echo in most frames: a frame outweighs its two hops twice.
#define FOUND_HOPS 4
#define DOUBTED_MOST 200

uint32_t harken_echo_size(void) {
    return sizeof(harken_echo);
}

// Forgets what was learnt of the path.
static void start_over(harken_echo *state) {
    harken_kalman_reset(&state->filter);
    harken_leak_reset(&state->leak);
    state->learnt = 0;
    state->harmful = 0;
    state->mic_power = 0;
    state->error_power = 0;
    state->loud = 0;
    state->left = 0;
}

void harken_echo_reset(harken_echo *state) {
    memset(state, 0, sizeof(*state));
    harken_delay_reset(&state->delay);
    start_over(state);
    state->trust = TRUSTED;
    state->played = UINT32_MAX;
    state->silent = UINT32_MAX;
}

static const int16_t *kept(const harken_echo *state, uint32_t hops_ago) {
    return state->kept[(state->newest + ECHO_KEPT - hops_ago) % ECHO_KEPT];
}

static int is_audible(const int16_t *hop) {
    for (unsigned n = 0; n < ECHO_HOP; n++) {
        if (hop[n] > INAUDIBLE || hop[n] < -INAUDIBLE) {
            return 1;
        }
    }
    return 0;
}

static inline uint32_t since(uint32_t hops, int now) {
    return now ? 0 : hops + (hops != UINT32_MAX);
}

static void keep(harken_echo *state, const int16_t *reference) {
    state->newest = state->newest + 1 == ECHO_KEPT ? 0 : state->newest + 1;
    int16_t *hop = state->kept[state->newest];
    if (reference) {
        memcpy(hop, reference, sizeof(state->kept[0]));
    } else {
        memset(hop, 0, sizeof(state->kept[0]));
    }
    state->played = since(state->played, is_audible(hop));
}

static void join(int16_t *frame, const int16_t *before, const int16_t *hop) {
    memcpy(frame, before, ECHO_HOP * sizeof(*frame));
    memcpy(frame + ECHO_HOP, hop, ECHO_HOP * sizeof(*frame));
}

static void hear(harken_echo *state, uint32_t hops_ago) {
    int16_t frame[2 * ECHO_HOP];
    join(frame, kept(state, hops_ago + 1), kept(state, hops_ago));
    harken_kalman_hear(&state->filter, frame);
}

// Gives the filter the reference `late` hops late from now on, and moves what it has learnt with it.
static void align(harken_echo *state, uint32_t late) {
    int blocks = (int)late - (int)state->late;
    harken_kalman_shift(&state->filter, blocks);
    for (uint32_t hops_ago = state->late; hops_ago > late; hops_ago--) {
        hear(state, hops_ago - 1);
    }
    state->late = late;
}

// Whether it has been seen to lower the echo.
static int is_converged(const harken_echo *state) {
    return state->left > 0 && log2_q10(state->loud) - log2_q10(state->left) > CONVERGED;
}

// Whether the filter, as it is, lowers the microphone's sound by 6 dB.
static int is_good(const harken_echo *state) {
    return state->learnt > 0 && state->error_power < state->mic_power >> 2;
}

// Moves the filter to where the reference's patterns are found in the microphone's sound.
static void find_delay(harken_echo *state, const int16_t *mic) {
    int16_t frame[2 * ECHO_HOP];
    int16_t reference[2 * ECHO_HOP];
    // A filter that has learnt the path knows better, but not at first, when a tune may fit any delay; when
    // it no longer does, `judge` finds that out.
    if (is_converged(state) && state->learnt > FIRST_HOPS) {
        if (state->halves) {
            // What was compared will be too old, or of another room, once it is looked for again.
            harken_delay_reset(&state->delay);
            state->halves = 0;
        }
        return;
    }
    if (state->played >= 2 * DELAY_LAGS) {
        state->halves = 0;
        return;
    }
    if (state->halves++ % 2 == 0) {
        return;
    }
    join(frame, state->mic_before, mic);
    join(reference, kept(state, 1), kept(state, 0));
    int frames = harken_delay_step(&state->delay, frame, reference, 1);
    if (frames == DELAY_UNKNOWN) {
        return;
    }
    state->doubted -= state->doubted < FOUND_HOPS ? state->doubted : FOUND_HOPS;
    if (is_good(state)) {
        return;
    }
    uint32_t found = 2 * (uint32_t)frames;
    uint32_t late = found > 2 ? found - 2 : 0;
    late = late < LONGEST ? late : LONGEST;
    if (found < state->late || found >= state->late + KALMAN_PARTITIONS) {
        // Outside of the filter: nothing that it has learnt is so.
        start_over(state);
        state->late = late;
    } else if (found > state->late + KALMAN_PARTITIONS / 2) {
        align(state, late);
    }
}

// Follows the direct sound through the filter's partitions.
static void follow_delay(harken_echo *state) {
    if (state->learnt % ALIGN_HOPS || !is_good(state)) {
        return;
    }
    uint32_t strongest = 0;
    const uint64_t *strength = state->filter.strength;
    for (uint32_t p = 1; p < KALMAN_PARTITIONS; p++) {
        strongest = strength[p] > strength[strongest] ? p : strongest;
    }
    uint32_t late = state->late + strongest;
    if (strongest > DIRECT_LAST || (strongest < DIRECT && state->late > 0)) {
        late = late > DIRECT ? late - DIRECT : 0;
        align(state, late < LONGEST ? late : LONGEST);
    }
}

static void learn(harken_echo *state, const complex32 *error) {
    uint32_t leak = harken_leak_of_all(&state->leak);
    int starting = state->learnt < FIRST_HOPS;
    uint32_t change = CHANGE_LEAST + ((leak * CHANGE_LEAK) >> 16);
    change = change < CHANGE_FIRST && !starting ? change : CHANGE_FIRST;
    uint32_t expected = starting ? PATH_EXPECTED : (PATH_EXPECTED * leak) >> 16;
    harken_kalman_learn(&state->filter, error, change, expected);
    // Saturating, in steps that keep time for `follow_delay`.
    state->learnt += state->learnt < UINT32_MAX ? 1u : 1u - ALIGN_HOPS;
}

static uint64_t power_of(const int32_t *samples) {
    uint64_t sum = 0;
    for (unsigned n = 0; n < ECHO_HOP; n++) {
        sum += (uint64_t)((int64_t)samples[n] * samples[n]);
    }
    return sum;
}

// Fades the estimate out where the output is louder than the microphone, and in again where it is not.
static void judge(harken_echo *state, const int32_t *mic, const int32_t *error) {
    state->mic_power += (power_of(mic) >> 3) - (state->mic_power >> 3);
    state->error_power += (power_of(error) >> 3) - (state->error_power >> 3);
    int harm = state->error_power > state->mic_power + (state->mic_power >> 4);
    state->trust = harm ? state->trust - TRUSTED / 2 : state->trust + TRUSTED / 16;
    state->trust = state->trust < 0 ? 0 : state->trust > TRUSTED ? TRUSTED : state->trust;
    state->harmful = harm ? state->harmful + 1 : 0;
    if (state->harmful == HARMFUL_HOPS) {
        start_over(state);
    }
}

static int16_t saturated(int32_t sample) {
    return (int16_t)(sample > INT16_MAX ? INT16_MAX : sample < INT16_MIN ? INT16_MIN : sample);
}

// Takes the estimate out of the microphone's samples, so much of it as is trusted.
static void write(harken_echo *state, int32_t trust, const int16_t *mic, const int32_t *echo, int16_t *linear) {
    int32_t step = (state->trust - trust) / ECHO_HOP;
    for (unsigned n = 0; n < ECHO_HOP; n++) {
        trust += step;
        int32_t taken = (int32_t)(((int64_t)echo[n] * trust + (1 << (14 + POINT))) >> (15 + POINT));
        int16_t sample = mic[n];
        linear[n] = saturated(sample - taken);
        state->estimate[n] = saturated(sample - linear[n]);
    }
}

// How much of the echo is taken out, as long as it is heard alone.
static void rate(harken_echo *state, const int32_t *mic, const int32_t *error) {
    if (harken_near_suspected(&state->near)) {
        return;
    }
    state->loud += (power_of(mic) >> 7) - (state->loud >> 7);
    state->left += (power_of(error) >> 7) - (state->left >> 7);
}

static int cancel(harken_echo *state, const int16_t *mic, int16_t *linear) {
    complex32 spectrum[KALMAN_BINS];
    complex32 bins[KALMAN_BINS];
    fft320_frame frame;
    int32_t echo[ECHO_HOP];
    int32_t loud[ECHO_HOP];
    int32_t *error = frame.samples + ECHO_HOP;
    harken_kalman_estimate(&state->filter, spectrum, echo);
    for (unsigned n = 0; n < ECHO_HOP; n++) {
        echo[n] = echo[n] > ESTIMATE_MOST ? ESTIMATE_MOST : echo[n] < -ESTIMATE_MOST ? -ESTIMATE_MOST : echo[n];
        loud[n] = mic[n] * (1 << POINT);
        frame.samples[n] = 0;
        error[n] = loud[n] - echo[n];
    }
    fft320_forward(&frame, bins);
    harken_leak_step(&state->leak, bins, spectrum);
    int32_t trust = state->trust;
    learn(state, bins);
    int near = harken_near_step(&state->near, &state->leak, bins, spectrum, state->filter.unlearnt);
    rate(state, loud, error);
    judge(state, loud, error);
    write(state, trust, mic, echo, linear);
    follow_delay(state);
    int converged = is_converged(state);
    state->doubted = converged || is_good(state) ? 0 : state->doubted + (state->doubted < DOUBTED_MOST);
    int over = (int)(state->near.over << ECHO_OVER_SHIFT);
    return ECHO_ACTIVE | (converged ? ECHO_CONVERGED : 0) | (converged && near ? ECHO_NEAR : 0) | over;
}

int harken_echo_step(harken_echo *state, const int16_t *mic, const int16_t *reference, int16_t *linear) {
    keep(state, reference);
    find_delay(state, mic);
    memcpy(state->mic_before, mic, sizeof(state->mic_before));
    state->silent = since(state->silent, is_audible(kept(state, state->late)));
    if (state->silent > KALMAN_PARTITIONS) {
        memset(state->estimate, 0, sizeof(state->estimate));
        memmove(linear, mic, sizeof(state->estimate));
        state->near.holding = 0;
        return 0;
    }
    hear(state, state->late);
    return cancel(state, mic, linear);
}

const int16_t *harken_echo_estimate(const harken_echo *state) {
    return state->estimate;
}

int harken_echo_erle_db(const harken_echo *state) {
    if (state->left == 0) {
        return 0;
    }
    int32_t gain = log2_q10(state->loud) - log2_q10(state->left);
    return gain > 0 ? (gain * 301 + 51200) / 102400 : 0;
}

int harken_echo_delay_ms(const harken_echo *state) {
    uint32_t strongest = 0;
    const uint64_t *strength = state->filter.strength;
    for (uint32_t p = 1; p < KALMAN_PARTITIONS; p++) {
        strongest = strength[p] > strength[strongest] ? p : strongest;
    }
    return (int)(state->late + strongest) * 10;
}
