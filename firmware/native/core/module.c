// MicroPython module `harken_core`: speech features, wake word, voice activity, WebSocket masking.
//
// Glue over the portable C beside it. Everything a caller passes is measured before the C sees it;
// states live behind the objects' headers and are never handed out.

#include "py/dynruntime.h"

#include "speech_features.h"
#include "int8_engine.h"
#include "mask.h"
#include "vad.h"

typedef struct {
    mp_obj_base_t base;
    harken_features state;
} features_t;

typedef struct {
    mp_obj_base_t base;
    mp_obj_t model; // keeps the bytes alive
    const uint8_t *bytes;
    size_t length;
    harken_wake *state;
} wake_t;

typedef struct {
    mp_obj_base_t base;
    harken_vad state;
} vad_t;

// Not static: a native `.mpy` reaches zeroed variables only by their symbols.
mp_obj_full_type_t features_type;
mp_obj_full_type_t wake_type;
mp_obj_full_type_t vad_type;

NORETURN static void raise(const char *message) {
    mp_raise_ValueError(message);
    for (;;) {
    }
}

// Integers beyond a machine word are cut by MicroPython, so they are refused by their type.
static mp_int_t get_int(mp_obj_t given, mp_int_t low, mp_int_t high, const char *message) {
    mp_int_t value = mp_obj_get_int(given);
    if (!mp_obj_is_small_int(given) || value < low || value > high) {
        raise(message);
    }
    return value;
}

static void *get_self(mp_obj_t given, const mp_obj_full_type_t *type) {
    if (mp_obj_get_type(given) != (const mp_obj_type_t *)type) {
        mp_raise_TypeError("not an object of this type");
    }
    return MP_OBJ_TO_PTR(given);
}

static const int16_t *get_hop(mp_obj_t given) {
    mp_buffer_info_t buffer;
    mp_get_buffer_raise(given, &buffer, MP_BUFFER_READ);
    if ((uintptr_t)buffer.buf % sizeof(int16_t)) {
        raise("the PCM buffer must start at an even address");
    }
    if (buffer.len < FEATURE_HOP * sizeof(int16_t)) {
        raise("the PCM buffer is shorter than 160 samples");
    }
    return buffer.buf;
}

static void *get_row(mp_obj_t given, size_t length, mp_uint_t flags) {
    mp_buffer_info_t buffer;
    mp_get_buffer_raise(given, &buffer, flags);
    if (buffer.len < length) {
        raise("the row is shorter than 40 features");
    }
    return buffer.buf;
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
    const int16_t *hop = get_hop(pcm);
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

// Wake ---------------------------------------------------------------------

NORETURN static void raise_model(int error) {
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

static mp_obj_t wake_new(const mp_obj_type_t *type, size_t n, size_t n_kw, const mp_obj_t *args) {
    mp_arg_check_num(n, n_kw, 1, 1, false);
    mp_buffer_info_t model;
    mp_get_buffer_raise(args[0], &model, MP_BUFFER_READ);
    int error = harken_model_check(model.buf, model.len);
    if (error != HKM_OK) {
        raise_model(error);
    }
    wake_t *self = m_malloc(sizeof(wake_t));
    self->base.type = type;
    self->model = args[0];
    self->bytes = model.buf;
    self->length = model.len;
    self->state = m_malloc(harken_wake_size(model.buf));
    harken_wake_reset(self->state, self->bytes);
    return MP_OBJ_FROM_PTR(self);
}

static wake_t *get_wake(mp_obj_t given) {
    wake_t *self = get_self(given, &wake_type);
    // A bytearray may have moved or shrunk since it was checked.
    mp_buffer_info_t model;
    mp_get_buffer_raise(self->model, &model, MP_BUFFER_READ);
    if (model.buf != self->bytes || model.len != self->length) {
        raise("the model's buffer was resized");
    }
    return self;
}

// step(row) -> probability 0..255, or -1 until a stride of rows is together
static mp_obj_t wake_step(mp_obj_t given, mp_obj_t row) {
    wake_t *self = get_wake(given);
    const int8_t *features = get_row(row, harken_wake_features(self->state), MP_BUFFER_READ);
    return MP_OBJ_NEW_SMALL_INT(harken_wake_step(self->state, features));
}
static MP_DEFINE_CONST_FUN_OBJ_2(wake_step_obj, wake_step);

static mp_obj_t wake_reset(mp_obj_t given) {
    wake_t *self = get_wake(given);
    harken_wake_reset(self->state, self->bytes);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(wake_reset_obj, wake_reset);

static mp_obj_t wake_stride(mp_obj_t given) {
    return MP_OBJ_NEW_SMALL_INT(harken_wake_stride(get_wake(given)->state));
}
static MP_DEFINE_CONST_FUN_OBJ_1(wake_stride_obj, wake_stride);

// Vad ----------------------------------------------------------------------

static mp_obj_t vad_new(const mp_obj_type_t *type, size_t n, size_t n_kw, const mp_obj_t *args) {
    (void)args;
    mp_arg_check_num(n, n_kw, 0, 0, false);
    vad_t *self = m_malloc(sizeof(vad_t));
    self->base.type = type;
    harken_vad_init(&self->state);
    return MP_OBJ_FROM_PTR(self);
}

// step(pcm) -> bit 0 speech now, bit 1 inside an utterance
static mp_obj_t vad_step(mp_obj_t given, mp_obj_t pcm) {
    vad_t *self = get_self(given, &vad_type);
    return MP_OBJ_NEW_SMALL_INT(harken_vad_step(&self->state, get_hop(pcm)));
}
static MP_DEFINE_CONST_FUN_OBJ_2(vad_step_obj, vad_step);

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

// Module -------------------------------------------------------------------

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

mp_map_elem_t features_table[2];
static MP_DEFINE_CONST_DICT(features_locals, features_table);
mp_map_elem_t wake_table[3];
static MP_DEFINE_CONST_DICT(wake_locals, wake_table);
mp_map_elem_t vad_table[5];
static MP_DEFINE_CONST_DICT(vad_locals, vad_table);

static void make_type(
    mp_obj_full_type_t *type, qstr name, const void *make_new, const mp_obj_dict_t *locals) {
    type->base.type = (void *)&mp_type_type;
    type->flags = MP_TYPE_FLAG_NONE;
    type->name = name;
    MP_OBJ_TYPE_SET_SLOT(type, make_new, make_new, 0);
    MP_OBJ_TYPE_SET_SLOT(type, locals_dict, (void *)locals, 1);
    mp_store_global(name, MP_OBJ_FROM_PTR(type));
}

#define ENTRY(name, object) ((mp_map_elem_t){MP_OBJ_NEW_QSTR(name), MP_OBJ_FROM_PTR(&object)})

mp_obj_t mpy_init(mp_obj_fun_bc_t *self, size_t n_args, size_t n_kw, mp_obj_t *args) {
    MP_DYNRUNTIME_INIT_ENTRY
    (void)n_args;
    (void)n_kw;
    (void)args;
    features_table[0] = ENTRY(MP_QSTR_step, features_step_obj);
    features_table[1] = ENTRY(MP_QSTR_reset, features_reset_obj);
    wake_table[0] = ENTRY(MP_QSTR_step, wake_step_obj);
    wake_table[1] = ENTRY(MP_QSTR_reset, wake_reset_obj);
    wake_table[2] = ENTRY(MP_QSTR_stride, wake_stride_obj);
    vad_table[0] = ENTRY(MP_QSTR_step, vad_step_obj);
    vad_table[1] = ENTRY(MP_QSTR_tune, vad_tune_obj);
    vad_table[2] = ENTRY(MP_QSTR_reset, vad_reset_obj);
    vad_table[3] = ENTRY(MP_QSTR_level_db, vad_level_db_obj);
    vad_table[4] = ENTRY(MP_QSTR_floor_db, vad_floor_db_obj);
    make_type(&features_type, MP_QSTR_Features, features_new, &features_locals);
    make_type(&wake_type, MP_QSTR_Wake, wake_new, &wake_locals);
    make_type(&vad_type, MP_QSTR_Vad, vad_new, &vad_locals);
    mp_store_global(MP_QSTR_mask, MP_OBJ_FROM_PTR(&mask_obj));
    MP_DYNRUNTIME_INIT_EXIT
}
