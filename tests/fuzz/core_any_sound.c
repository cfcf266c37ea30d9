// Runs the whole audio core over sounds, under the sanitizers.
//
// Usage: core_any_sound MODEL.hkm play FILE.raw...     int16; each once as microphone, the next one of
//                                                      them as loudspeaker, with everything switched on
//        core_any_sound MODEL.hkm chance SECONDS SEED  sounds, loudspeaker, switches, gains,
//                                                      probabilities and resets by chance
// Prints how many hops were run.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cleaner.h"
#include "int8_engine.h"
#include "speech_features.h"
#include "vad.h"

#define HOP FEATURE_HOP

static uint32_t state = 1;

static uint32_t chance(uint32_t below) {
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state % below;
}

// Each of its own size on the heap, so that the sanitizer sees the first byte past its end.
typedef struct {
    harken_cleaner *cleaner;
    harken_features *features;
    harken_vad *vad;
    harken_gain *gain;
    harken_model *model;
    uint8_t *file;
    int16_t *mic;
    int16_t *reference;
    int16_t *out;
    int16_t *linear;
    int8_t *row;
    uint8_t *bands;
    long hops;
} core;

static void *room(size_t bytes) {
    void *found = malloc(bytes);
    if (found == NULL) {
        exit(2);
    }
    return found;
}

static uint8_t *read_file(const char *path, size_t *length) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        exit(2);
    }
    fseek(file, 0, SEEK_END);
    *length = (size_t)ftell(file);
    rewind(file);
    uint8_t *content = room(*length);
    if (fread(content, 1, *length, file) != *length) {
        exit(2);
    }
    fclose(file);
    return content;
}

static void set_up(core *all, const char *path) {
    size_t length;
    memset(all, 0, sizeof(*all));
    all->file = read_file(path, &length);
    if (harken_model_check(all->file, length) != HKM_OK) {
        exit(2);
    }
    all->cleaner = room(harken_cleaner_size());
    all->features = room(harken_features_size());
    all->vad = room(harken_vad_size());
    all->gain = room(harken_gain_size());
    all->model = room(harken_model_size(all->file));
    all->mic = room(HOP * sizeof(int16_t));
    all->reference = room(HOP * sizeof(int16_t));
    all->out = room(HOP * sizeof(int16_t));
    all->linear = room(HOP * sizeof(int16_t));
    all->row = room(FEATURE_CHANNELS);
    all->bands = room(CLEANER_BANDS);
    harken_cleaner_init(all->cleaner);
    harken_features_reset(all->features);
    harken_vad_init(all->vad);
    harken_gain_reset(all->gain);
    harken_model_reset(all->model, all->file);
}

static void tear_down(core *all) {
    void *parts[] = {all->cleaner, all->features, all->vad, all->gain, all->model, all->file,
        all->mic, all->reference, all->out, all->linear, all->row, all->bands};
    for (size_t n = 0; n < sizeof(parts) / sizeof(parts[0]); n++) {
        free(parts[n]);
    }
}

// One hop as the device takes it; `how` picks what may be missing or shared.
static void hop(core *all, uint32_t how, int probability) {
    const int16_t *reference = how & 1 ? NULL : all->reference;
    int16_t *out = how & 2 ? all->mic : all->out;
    int16_t *linear = how & 4 ? NULL : all->linear;
    harken_cleaner_step(all->cleaner, all->mic, reference, out, linear);
    const int16_t *heard = linear ? linear : out;
    if (harken_features_step(all->features, heard, all->row)) {
        int said = harken_model_step(all->model, all->row);
        probability = said >= 0 ? said : probability;
    }
    int speech = harken_vad_step(all->vad, heard, probability);
    int noise = harken_vad_floor_db(all->vad);
    harken_gain_step(all->gain, out, speech & VAD_SPEECH, noise > 0 ? 0 : noise, out);
    int told = harken_cleaner_erle_db(all->cleaner) + harken_cleaner_delay_ms(all->cleaner) +
        harken_cleaner_noise_db(all->cleaner) + harken_cleaner_gain_db(all->cleaner) +
        harken_gain_db(all->gain) + harken_vad_level_db(all->vad);
    if (told > 100000 || told < -100000) {
        abort();
    }
    all->hops++;
}

static void play(core *all, const char *mic_path, const char *reference_path) {
    size_t mic_length;
    size_t reference_length;
    uint8_t *mic = read_file(mic_path, &mic_length);
    uint8_t *reference = read_file(reference_path, &reference_length);
    size_t bytes = HOP * sizeof(int16_t);
    for (size_t at = 0; at + bytes <= mic_length; at += bytes) {
        memcpy(all->mic, mic + at, bytes);
        if (at + bytes <= reference_length) {
            memcpy(all->reference, reference + at, bytes);
        }
        hop(all, at + bytes <= reference_length ? 0 : 1, -1);
    }
    free(mic);
    free(reference);
}

static void invent(int16_t *into, uint32_t kind, uint32_t n) {
    for (uint32_t s = 0; s < HOP; s++) {
        uint32_t at = n * HOP + s;
        switch (kind) {
            case 0: into[s] = 0; break;
            case 1: into[s] = -32768; break;
            case 2: into[s] = 32767; break;
            case 3: into[s] = at / 7 % 2 ? 32767 : -32768; break;
            case 4: into[s] = (int16_t)chance(65536); break;
            case 5: into[s] = (int16_t)((int16_t)chance(65536) >> 12); break;
            case 6: into[s] = (int16_t)(at % 1777 ? 0 : 32767); break;
            case 7: into[s] = (int16_t)((at * at >> 7) & 0x3fff); break;
            default: break; // what was there before
        }
    }
}

// Something about the core is changed now and then, in any order.
static void change(core *all) {
    switch (chance(40)) {
        case 0: harken_cleaner_switch(all->cleaner, chance(64)); break;
        case 1: harken_cleaner_switch(all->cleaner, CLEANER_ALL); break;
        case 2: harken_cleaner_gains(all->cleaner, NULL); break;
        case 3: harken_vad_tune(all->vad, (int)chance(70) - 3, (int)chance(12000) - 3); break;
        case 4:
            switch (chance(12)) {
                case 0: harken_cleaner_reset(all->cleaner); break;
                case 1: harken_cleaner_init(all->cleaner); break;
                case 2: harken_features_reset(all->features); break;
                case 3: harken_vad_reset(all->vad); break;
                case 4: harken_gain_reset(all->gain); break;
                case 5: harken_model_reset(all->model, all->file); break;
                case 6: harken_gain_rest(all->gain, all->mic); break;
                default: break;
            }
            break;
        default:
            for (int n = 0; n < CLEANER_BANDS; n++) {
                all->bands[n] = (uint8_t)chance(256);
            }
            if (chance(4) == 0) {
                harken_cleaner_gains(all->cleaner, all->bands);
            }
            break;
    }
}

static void play_by_chance(core *all, long seconds) {
    time_t end = time(NULL) + seconds;
    uint32_t mic = 4;
    uint32_t reference = 4;
    uint32_t how = 0;
    for (uint32_t n = 0; time(NULL) <= end; n++) {
        if (n % 25 == 0) {
            mic = chance(12);
            reference = chance(12);
            how = chance(8);
        }
        invent(all->mic, mic, n);
        invent(all->reference, reference, n);
        if (chance(16) == 0) {
            memcpy(all->mic, all->reference, HOP * sizeof(int16_t));
        }
        change(all);
        hop(all, how, (int)chance(257) - 1);
    }
}

int main(int count, char **arguments) {
    if (count < 4) {
        return 2;
    }
    core all;
    set_up(&all, arguments[1]);
    if (strcmp(arguments[2], "chance") == 0 && count == 5) {
        state = (uint32_t)strtoul(arguments[4], NULL, 10) | 1;
        play_by_chance(&all, strtol(arguments[3], NULL, 10));
    } else {
        for (int n = 3; n < count; n++) {
            play(&all, arguments[n], arguments[n + 1 < count ? n + 1 : 3]);
        }
    }
    printf("%ld\n", all.hops);
    tear_down(&all);
    return 0;
}
