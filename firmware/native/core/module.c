// MicroPython module `harken_core`: echo, noise and gain, speech features, int8 models, voice activity,
// levels, WebSocket masking.
//
// Glue over the portable C beside it. Everything a caller passes is measured before the C sees it;
// states live behind the objects' headers and are never handed out.

#include <string.h>

#include "../glue/module.h"

#include "cleaner.h"
#include "gain.h"
#include "int8_engine.h"
#include "level.h"
#include "mask.h"
#include "speech_features.h"
#include "vad.h"

typedef struct {
    mp_obj_base_t base;
    harken_features state;
} features_t;

typedef struct {
    mp_obj_base_t base;
    mp_obj_t file; // keeps the bytes alive
    const uint8_t *bytes;
    size_t length;
    harken_model *state;
} model_t;

typedef struct {
    mp_obj_base_t base;
    harken_vad state;
} vad_t;

typedef struct {
    mp_obj_base_t base;
    harken_gain state;
} gain_t;

typedef struct {
    mp_obj_base_t base;
    harken_cleaner state;
} cleaner_t;

GLUE_DECLARE_TYPE(features);
GLUE_DECLARE_TYPE(model);
GLUE_DECLARE_TYPE(vad);
GLUE_DECLARE_TYPE(gain);
GLUE_DECLARE_TYPE(cleaner);

static int16_t *get_hop(mp_obj_t given, mp_uint_t flags) {
    return get_samples(given, FEATURE_HOP, flags, "the PCM buffer is shorter than 160 samples");
}

static void *get_row(mp_obj_t given, size_t length, mp_uint_t flags) {
    return get_bytes(given, length, flags, "the row is shorter than 40 features");
}

// Features -----------------------------------------------------------------

static mp_obj_t features_new(const mp_obj_type_t *type, size_t n, size_t n_kw, const mp_obj_t *args) {
    (void)args;
    mp_arg_check_num(n, n_kw, 0, 0, false);
    features_t *self = m_malloc(sizeof(features_t));
    self->base.type = type;
    harken_features_reset(&self->state);
    return MP_OBJ_FROM_PTR(self);
}

// step(pcm, row) -> 1 where `row` was written
static mp_obj_t features_step(mp_obj_t given, mp_obj_t pcm, mp_obj_t row) {
    features_t *self = get_self(given, &features_type);
    const int16_t *hop = get_hop(pcm, MP_BUFFER_READ);
    int8_t *out = get_row(row, FEATURE_CHANNELS, MP_BUFFER_WRITE);
    return MP_OBJ_NEW_SMALL_INT(harken_features_step(&self->state, hop, out));
}
static MP_DEFINE_CONST_FUN_OBJ_3(features_step_obj, features_step);

static mp_obj_t features_reset(mp_obj_t given) {
    features_t *self = get_self(given, &features_type);
    harken_features_reset(&self->state);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(features_reset_obj, features_reset);

#define FEATURES_METHODS(METHOD) \
    METHOD(MP_QSTR_step, features_step_obj) \
    METHOD(MP_QSTR_reset, features_reset_obj)
GLUE_DEFINE_TYPE(features, MP_QSTR_Features, FEATURES_METHODS)

// Model --------------------------------------------------------------------

GLUE_NORETURN static void raise_model(int error) {
    if (error == HKM_ERROR_ALIGNMENT) {
        raise("the model must start at an address that 4 divides");
    }
    if (error == HKM_ERROR_HEADER) {
        raise("this is no packed model of a known version, or it is cut off");
    }
    if (error == HKM_ERROR_CRC) {
        raise("the packed model is damaged: its checksum is wrong");
    }
    raise("the packed model has an operation that does not fit");
}

static mp_obj_t model_new(const mp_obj_type_t *type, size_t n, size_t n_kw, const mp_obj_t *args) {
    mp_arg_check_num(n, n_kw, 1, 1, false);
    mp_buffer_info_t model;
    mp_get_buffer_raise(args[0], &model, MP_BUFFER_READ);
    int error = harken_model_check(model.buf, model.len);
    if (error != HKM_OK) {
        raise_model(error);
    }
    model_t *self = m_malloc(sizeof(model_t));
    self->base.type = type;
    self->file = args[0];
    self->bytes = model.buf;
    self->length = model.len;
    self->state = m_malloc(harken_model_size(model.buf));
    harken_model_reset(self->state, self->bytes);
    return MP_OBJ_FROM_PTR(self);
}

static model_t *get_model(mp_obj_t given) {
    model_t *self = get_self(given, &model_type);
    // A bytearray may have moved or shrunk since it was checked.
    mp_buffer_info_t model;
    mp_get_buffer_raise(self->file, &model, MP_BUFFER_READ);
    if (model.buf != self->bytes || model.len != self->length) {
        raise("the model's buffer was resized");
    }
    return self;
}

// step(row) -> the first output, 0..255, or -1 until a stride of rows is together
static mp_obj_t model_step(mp_obj_t given, mp_obj_t row) {
    model_t *self = get_model(given);
    const int8_t *features = get_row(row, harken_model_features(self->state), MP_BUFFER_READ);
    return MP_OBJ_NEW_SMALL_INT(harken_model_step(self->state, features));
}
static MP_DEFINE_CONST_FUN_OBJ_2(model_step_obj, model_step);

// outputs(out) -> how many bytes of the last stride's answer it wrote
static mp_obj_t model_outputs(mp_obj_t given, mp_obj_t out) {
    const harken_model *state = get_model(given)->state;
    size_t count = harken_model_outputs(state);
    memcpy(get_bytes(out, count, MP_BUFFER_WRITE, "the buffer is shorter than the model's outputs"),
        harken_model_output(state), count);
    return MP_OBJ_NEW_SMALL_INT(count);
}
static MP_DEFINE_CONST_FUN_OBJ_2(model_outputs_obj, model_outputs);

static mp_obj_t model_reset(mp_obj_t given) {
    model_t *self = get_model(given);
    harken_model_reset(self->state, self->bytes);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(model_reset_obj, model_reset);

static mp_obj_t model_stride(mp_obj_t given) {
    return MP_OBJ_NEW_SMALL_INT(harken_model_stride(get_model(given)->state));
}
static MP_DEFINE_CONST_FUN_OBJ_1(model_stride_obj, model_stride);

#define MODEL_METHODS(METHOD) \
    METHOD(MP_QSTR_step, model_step_obj) \
    METHOD(MP_QSTR_outputs, model_outputs_obj) \
    METHOD(MP_QSTR_reset, model_reset_obj) \
    METHOD(MP_QSTR_stride, model_stride_obj)
GLUE_DEFINE_TYPE(model, MP_QSTR_Model, MODEL_METHODS)

// Vad ----------------------------------------------------------------------

static mp_obj_t vad_new(const mp_obj_type_t *type, size_t n, size_t n_kw, const mp_obj_t *args) {
    (void)args;
    mp_arg_check_num(n, n_kw, 0, 0, false);
    vad_t *self = m_malloc(sizeof(vad_t));
    self->base.type = type;
    harken_vad_init(&self->state);
    return MP_OBJ_FROM_PTR(self);
}

// step(pcm, probability) -> bit 0 speech now, bit 1 inside an utterance; probability -1: by energy
static mp_obj_t vad_step(mp_obj_t given, mp_obj_t pcm, mp_obj_t probability) {
    vad_t *self = get_self(given, &vad_type);
    const int16_t *hop = get_hop(pcm, MP_BUFFER_READ);
    mp_int_t said = get_int(probability, -1, 255, "probability must be 0 to 255, or -1");
    return MP_OBJ_NEW_SMALL_INT(harken_vad_step(&self->state, hop, (int)said));
}
static MP_DEFINE_CONST_FUN_OBJ_3(vad_step_obj, vad_step);

// tune(threshold_db, hangover_ms); -1 leaves a value as it is
static mp_obj_t vad_tune(mp_obj_t given, mp_obj_t threshold, mp_obj_t hangover) {
    vad_t *self = get_self(given, &vad_type);
    const char *message = "threshold_db must be 1 to 60, hangover_ms 0 to 10000";
    mp_int_t threshold_db = get_int(threshold, -1, 60, message);
    mp_int_t hangover_ms = get_int(hangover, -1, 10000, message);
    if (!harken_vad_tune(&self->state, (int)threshold_db, (int)hangover_ms)) {
        raise(message);
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_3(vad_tune_obj, vad_tune);

static mp_obj_t vad_reset(mp_obj_t given) {
    vad_t *self = get_self(given, &vad_type);
    harken_vad_reset(&self->state);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(vad_reset_obj, vad_reset);

static mp_obj_t vad_level_db(mp_obj_t given) {
    vad_t *self = get_self(given, &vad_type);
    return MP_OBJ_NEW_SMALL_INT(harken_vad_level_db(&self->state));
}
static MP_DEFINE_CONST_FUN_OBJ_1(vad_level_db_obj, vad_level_db);

static mp_obj_t vad_floor_db(mp_obj_t given) {
    vad_t *self = get_self(given, &vad_type);
    return MP_OBJ_NEW_SMALL_INT(harken_vad_floor_db(&self->state));
}
static MP_DEFINE_CONST_FUN_OBJ_1(vad_floor_db_obj, vad_floor_db);

#define VAD_METHODS(METHOD) \
    METHOD(MP_QSTR_step, vad_step_obj) \
    METHOD(MP_QSTR_tune, vad_tune_obj) \
    METHOD(MP_QSTR_reset, vad_reset_obj) \
    METHOD(MP_QSTR_level_db, vad_level_db_obj) \
    METHOD(MP_QSTR_floor_db, vad_floor_db_obj)
GLUE_DEFINE_TYPE(vad, MP_QSTR_Vad, VAD_METHODS)

// Gain ---------------------------------------------------------------------

static mp_obj_t gain_new(const mp_obj_type_t *type, size_t n, size_t n_kw, const mp_obj_t *args) {
    (void)args;
    mp_arg_check_num(n, n_kw, 0, 0, false);
    gain_t *self = m_malloc(sizeof(gain_t));
    self->base.type = type;
    harken_gain_reset(&self->state);
    return MP_OBJ_FROM_PTR(self);
}

// step(pcm, speech, noise_db, out) -> 1 where the limiter worked
static mp_obj_t gain_step(size_t n, const mp_obj_t *args) {
    (void)n;
    const char *message = "speech must be 0 or 1, noise_db -200 to 0";
    gain_t *self = get_self(args[0], &gain_type);
    const int16_t *pcm = get_hop(args[1], MP_BUFFER_READ);
    mp_int_t speech = get_int(args[2], 0, 1, message);
    mp_int_t noise_db = get_int(args[3], -200, 0, message);
    int16_t *out = get_hop(args[4], MP_BUFFER_WRITE);
    return MP_OBJ_NEW_SMALL_INT(
        harken_gain_step(&self->state, pcm, (int)speech, (int)noise_db, out));
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(gain_step_obj, 5, 5, gain_step);

static mp_obj_t gain_reset(mp_obj_t given) {
    gain_t *self = get_self(given, &gain_type);
    harken_gain_reset(&self->state);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(gain_reset_obj, gain_reset);

static mp_obj_t gain_gain_db(mp_obj_t given) {
    gain_t *self = get_self(given, &gain_type);
    return MP_OBJ_NEW_SMALL_INT(harken_gain_db(&self->state));
}
static MP_DEFINE_CONST_FUN_OBJ_1(gain_gain_db_obj, gain_gain_db);

#define GAIN_METHODS(METHOD) \
    METHOD(MP_QSTR_step, gain_step_obj) \
    METHOD(MP_QSTR_reset, gain_reset_obj) \
    METHOD(MP_QSTR_gain_db, gain_gain_db_obj)
GLUE_DEFINE_TYPE(gain, MP_QSTR_Gain, GAIN_METHODS)

// Cleaner ------------------------------------------------------------------

static mp_obj_t cleaner_new(const mp_obj_type_t *type, size_t n, size_t n_kw, const mp_obj_t *args) {
    (void)args;
    mp_arg_check_num(n, n_kw, 0, 0, false);
    cleaner_t *self = m_malloc(sizeof(cleaner_t));
    self->base.type = type;
    harken_cleaner_init(&self->state);
    return MP_OBJ_FROM_PTR(self);
}

// step(mic, reference | None, out, linear | None) -> flags of the hop
static mp_obj_t cleaner_step(size_t n, const mp_obj_t *args) {
    (void)n;
    cleaner_t *self = get_self(args[0], &cleaner_type);
    const int16_t *mic = get_hop(args[1], MP_BUFFER_READ);
    const int16_t *reference = args[2] == mp_const_none ? NULL : get_hop(args[2], MP_BUFFER_READ);
    int16_t *out = get_hop(args[3], MP_BUFFER_WRITE);
    int16_t *linear = args[4] == mp_const_none ? NULL : get_hop(args[4], MP_BUFFER_WRITE);
    return MP_OBJ_NEW_SMALL_INT(harken_cleaner_step(&self->state, mic, reference, out, linear));
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(cleaner_step_obj, 5, 5, cleaner_step);

// switch(parts): a sum of 1 high-pass, 2 echo, 4 residual echo, 8 noise, 16 gain
static mp_obj_t cleaner_switch(mp_obj_t given, mp_obj_t parts) {
    cleaner_t *self = get_self(given, &cleaner_type);
    harken_cleaner_switch(
        &self->state, (uint32_t)get_int(parts, 0, CLEANER_ALL, "parts must be a sum of 1, 2, 4, 8, 16"));
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_2(cleaner_switch_obj, cleaner_switch);

// gains(40 bytes | None): a model's gains for the next hop
static mp_obj_t cleaner_gains(mp_obj_t given, mp_obj_t gains) {
    cleaner_t *self = get_self(given, &cleaner_type);
    const uint8_t *bands = gains == mp_const_none
        ? NULL
        : get_bytes(gains, CLEANER_BANDS, MP_BUFFER_READ, "there must be 40 gains");
    harken_cleaner_gains(&self->state, bands);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_2(cleaner_gains_obj, cleaner_gains);

static mp_obj_t cleaner_reset(mp_obj_t given) {
    cleaner_t *self = get_self(given, &cleaner_type);
    harken_cleaner_reset(&self->state);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(cleaner_reset_obj, cleaner_reset);

static mp_obj_t cleaner_erle_db(mp_obj_t given) {
    cleaner_t *self = get_self(given, &cleaner_type);
    return MP_OBJ_NEW_SMALL_INT(harken_cleaner_erle_db(&self->state));
}
static MP_DEFINE_CONST_FUN_OBJ_1(cleaner_erle_db_obj, cleaner_erle_db);

static mp_obj_t cleaner_delay_ms(mp_obj_t given) {
    cleaner_t *self = get_self(given, &cleaner_type);
    return MP_OBJ_NEW_SMALL_INT(harken_cleaner_delay_ms(&self->state));
}
static MP_DEFINE_CONST_FUN_OBJ_1(cleaner_delay_ms_obj, cleaner_delay_ms);

static mp_obj_t cleaner_noise_db(mp_obj_t given) {
    cleaner_t *self = get_self(given, &cleaner_type);
    return MP_OBJ_NEW_SMALL_INT(harken_cleaner_noise_db(&self->state));
}
static MP_DEFINE_CONST_FUN_OBJ_1(cleaner_noise_db_obj, cleaner_noise_db);

static mp_obj_t cleaner_gain_db(mp_obj_t given) {
    cleaner_t *self = get_self(given, &cleaner_type);
    return MP_OBJ_NEW_SMALL_INT(harken_cleaner_gain_db(&self->state));
}
static MP_DEFINE_CONST_FUN_OBJ_1(cleaner_gain_db_obj, cleaner_gain_db);

#define CLEANER_METHODS(METHOD) \
    METHOD(MP_QSTR_step, cleaner_step_obj) \
    METHOD(MP_QSTR_switch, cleaner_switch_obj) \
    METHOD(MP_QSTR_gains, cleaner_gains_obj) \
    METHOD(MP_QSTR_reset, cleaner_reset_obj) \
    METHOD(MP_QSTR_erle_db, cleaner_erle_db_obj) \
    METHOD(MP_QSTR_delay_ms, cleaner_delay_ms_obj) \
    METHOD(MP_QSTR_noise_db, cleaner_noise_db_obj) \
    METHOD(MP_QSTR_gain_db, cleaner_gain_db_obj)
GLUE_DEFINE_TYPE(cleaner, MP_QSTR_Cleaner, CLEANER_METHODS)

// Module -------------------------------------------------------------------

// level(one, other | None) -> the level of what 160 samples have more than others
static mp_obj_t level(mp_obj_t one, mp_obj_t other) {
    const int16_t *less = other == mp_const_none ? NULL : get_hop(other, MP_BUFFER_READ);
    return MP_OBJ_NEW_SMALL_INT(harken_level(get_hop(one, MP_BUFFER_READ), less));
}
static MP_DEFINE_CONST_FUN_OBJ_2(level_obj, level);

// amplify(pcm, start, gain, goal, out) -> the first audible sample, or -1
static mp_obj_t amplify(size_t n, const mp_obj_t *args) {
    (void)n;
    mp_buffer_info_t pcm;
    mp_get_buffer_raise(args[0], &pcm, MP_BUFFER_READ);
    const int16_t *in = get_hop(args[0], MP_BUFFER_READ);
    mp_int_t last = (mp_int_t)(pcm.len / sizeof(int16_t)) - LEVEL_HOP;
    mp_int_t start = get_int(args[1], 0, last, "the PCM buffer has no 160 samples from there");
    const char *message = "gains must be 0 to 32768";
    mp_int_t gain = get_int(args[2], 0, LEVEL_FULL_GAIN, message);
    mp_int_t goal = get_int(args[3], 0, LEVEL_FULL_GAIN, message);
    int16_t *out = get_hop(args[4], MP_BUFFER_WRITE);
    return MP_OBJ_NEW_SMALL_INT(harken_amplify(in + start, (int32_t)gain, (int32_t)goal, out));
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(amplify_obj, 5, 5, amplify);

// mask(buffer, offset, length, key)
static mp_obj_t mask(size_t n, const mp_obj_t *args) {
    (void)n;
    mp_buffer_info_t buffer;
    mp_buffer_info_t key;
    mp_get_buffer_raise(args[0], &buffer, MP_BUFFER_WRITE);
    mp_get_buffer_raise(args[3], &key, MP_BUFFER_READ);
    mp_int_t most = buffer.len < INT32_MAX ? (mp_int_t)buffer.len : INT32_MAX;
    mp_int_t offset = get_int(args[1], 0, most, "offset is past the buffer's end");
    mp_int_t length = get_int(args[2], 0, most - offset, "length reaches past the buffer's end");
    if (key.len != 4) {
        raise("the key must be 4 bytes");
    }
    harken_mask((uint8_t *)buffer.buf + offset, (size_t)length, key.buf);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(mask_obj, 4, 4, mask);

#define CONTENTS(TYPE, FUNCTION) \
    TYPE(MP_QSTR_Features, features) \
    TYPE(MP_QSTR_Model, model) \
    TYPE(MP_QSTR_Vad, vad) \
    TYPE(MP_QSTR_Gain, gain) \
    TYPE(MP_QSTR_Cleaner, cleaner) \
    FUNCTION(MP_QSTR_level, level_obj) \
    FUNCTION(MP_QSTR_amplify, amplify_obj) \
    FUNCTION(MP_QSTR_mask, mask_obj)
GLUE_DEFINE_MODULE(MP_QSTR_harken_core, harken_core, CONTENTS)
