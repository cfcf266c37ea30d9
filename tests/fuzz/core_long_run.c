// Runs two cleaners side by side, one of which has been at it for longer than any device: its counters
// stand just before their ends. Both must give the same samples all the way past those ends, and the
// counters must stay there.
//
// Prints how many hops were compared.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleaner.h"

#define HOP CLEANER_HOP
// Hops by which the echo is late.
#define LATE 6
// `learnt` counts in steps of so many at its end.
#define STEP 32

static uint32_t state = 20251;
static int16_t played[LATE + 1][HOP];
static long hops;

static uint32_t chance(uint32_t below) {
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state % below;
}

static void demand(int met, const char *what) {
    if (!met) {
        fprintf(stderr, "after %ld hops: %s\n", hops, what);
        exit(1);
    }
}

// Noise that comes and goes as syllables do.
static void speak(int16_t *hop, uint32_t n, int32_t loudness) {
    int32_t level = (n / 12) % 3 == 2 ? loudness / 16 : loudness;
    for (unsigned s = 0; s < HOP; s++) {
        hop[s] = (int16_t)((int32_t)chance(2 * 32768) - 32768) * level / 32768;
    }
}

typedef enum { ECHO, SILENCE, STRANGER } scene;

// What the microphone hears while `played[0]` is given to the loudspeaker.
static void compose(scene kind, uint32_t n, int16_t *mic) {
    memmove(played[1], played[0], sizeof(played) - sizeof(played[0]));
    if (kind == SILENCE) {
        memset(played[0], 0, sizeof(played[0]));
    } else {
        speak(played[0], n, 9000);
    }
    speak(mic, n / 2 + 5, kind == STRANGER ? 9000 : 40);
    for (unsigned s = 0; s < HOP && kind == ECHO; s++) {
        mic[s] = (int16_t)(mic[s] + played[LATE][s] / 2);
    }
}

// Gives both the same; the flags of the last hop.
static int run(harken_cleaner *young, harken_cleaner *old, scene kind, uint32_t count) {
    int flags = 0;
    for (uint32_t n = 0; n < count; n++) {
        int16_t mic[HOP];
        int16_t out[2][HOP];
        int16_t linear[2][HOP];
        compose(kind, n, mic);
        flags = harken_cleaner_step(young, mic, played[0], out[0], linear[0]);
        if (old) {
            demand(flags == harken_cleaner_step(old, mic, played[0], out[1], linear[1]), "flags differ");
            demand(memcmp(out[0], out[1], sizeof(out[0])) == 0, "samples differ");
            demand(memcmp(linear[0], linear[1], sizeof(linear[0])) == 0, "the canceller's samples differ");
            hops++;
        }
    }
    return flags;
}

// What was learnt from: at its end it goes on in circles of 32.
static void past_the_end_of_learning(harken_cleaner *young, harken_cleaner *old) {
    demand(run(young, NULL, ECHO, 500) & CLEANER_CONVERGED, "it has not converged");
    *old = *young;
    uint32_t learnt = young->echo.learnt;
    demand(learnt > 300, "hardly anything was learnt from");
    old->echo.learnt += (UINT32_MAX - learnt) / STEP * STEP - STEP;
    run(young, old, ECHO, 200);
    demand(old->echo.learnt > UINT32_MAX - 2 * STEP, "what was learnt from has begun anew");
    demand(young->echo.learnt > learnt, "nothing was learnt from");
}

// How long the loudspeaker has been silent.
static void past_the_end_of_silence(harken_cleaner *young, harken_cleaner *old) {
    demand(run(young, old, SILENCE, 100) == 0, "echo is cancelled in silence");
    old->echo.played = UINT32_MAX - 20;
    old->echo.silent = UINT32_MAX - 30;
    run(young, old, SILENCE, 100);
    demand(old->echo.played == UINT32_MAX && old->echo.silent == UINT32_MAX, "silence has begun anew");
    demand(run(young, old, ECHO, 200) & CLEANER_CANCELLING, "nothing is cancelled after silence");
}

// For how long an echo has been looked for that is not there: only odd and even count.
static void past_the_end_of_looking(harken_cleaner *young, harken_cleaner *old) {
    harken_cleaner_reset(young);
    demand(!(run(young, NULL, STRANGER, 300) & CLEANER_CONVERGED), "it has learnt what is not there");
    *old = *young;
    demand(young->echo.halves > 20, "no echo is looked for");
    old->echo.halves += (UINT32_MAX - young->echo.halves) / 2 * 2 - 40;
    run(young, old, STRANGER, 200);
    demand(old->echo.halves < 400, "the end was not reached");
}

// What the noise, the gain and the filter count ends by itself.
static void all_else_is_small(const harken_cleaner *all) {
    demand(all->noise.heard <= 64 && all->noise.until_sum <= 8, "the noise counts on");
    for (unsigned k = 0; k < SPECTRUM_BINS; k++) {
        demand(all->noise.steady[k] <= 1000, "a steady bin counts on");
    }
    demand(all->gain.heard <= 1000, "the gain counts on");
    demand(all->echo.harmful <= 64 && all->echo.newest < ECHO_KEPT, "the canceller counts on");
    demand(all->echo.delay.compared <= 64 && all->echo.delay.lasting <= 64, "the delay counts on");
    demand(all->echo.filter.turn <= 64 && all->echo.near.holding <= 64, "the filter counts on");
}

int main(void) {
    harken_cleaner *young = malloc(sizeof(*young));
    harken_cleaner *old = malloc(sizeof(*old));
    if (young == NULL || old == NULL) {
        return 2;
    }
    harken_cleaner_init(young);
    past_the_end_of_learning(young, old);
    past_the_end_of_silence(young, old);
    past_the_end_of_looking(young, old);
    run(young, NULL, ECHO, 3000);
    all_else_is_small(young);
    printf("%ld\n", hops);
    free(young);
    free(old);
    return 0;
}
