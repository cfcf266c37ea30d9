// What the modules need of MicroPython, whether they are loaded as a native `.mpy` or compiled into an
// image as user C modules (`MICROPY_ENABLE_DYNRUNTIME` tells the two apart).
//
// A type says its methods once, as a list: `#define METHODS(METHOD) METHOD(MP_QSTR_step, step_obj) ...`;
// a module its contents: `#define CONTENTS(TYPE, FUNCTION) TYPE(MP_QSTR_Features, features) ...`. The
// list of a type `name` belongs to `name_type` and `name_new`.
#ifndef HARKEN_GLUE_MODULE_H
#define HARKEN_GLUE_MODULE_H

#if defined(MICROPY_ENABLE_DYNRUNTIME) && MICROPY_ENABLE_DYNRUNTIME
#define GLUE_DYNAMIC 1
#include "py/dynruntime.h"
#else
#define GLUE_DYNAMIC 0
#include "py/obj.h"
#include "py/runtime.h"
#endif

#define GLUE_NORETURN __attribute__((noreturn))

GLUE_NORETURN static inline void glue_raise(const mp_obj_type_t *type, const char *message) {
#if GLUE_DYNAMIC
    mp_raise_msg(type, message);
#else
    // Through a format: the image's own texts are compressed, these are not.
    mp_raise_msg_varg(type, MP_ERROR_TEXT("%s"), message);
#endif
    for (;;) {
    }
}

GLUE_NORETURN static void raise(const char *message) {
    glue_raise(&mp_type_ValueError, message);
}

// Integers beyond a machine word would be cut, so they are refused by their type.
static inline mp_int_t get_int(mp_obj_t given, mp_int_t low, mp_int_t high, const char *message) {
    mp_int_t value = (mp_int_t)mp_obj_get_int_truncated(given);
    bool word = mp_obj_is_small_int(given) || given == mp_const_true || given == mp_const_false;
    if (!word || value < low || value > high) {
        raise(message);
    }
    return value;
}

static inline void *get_bytes(mp_obj_t given, size_t length, mp_uint_t flags, const char *message) {
    mp_buffer_info_t buffer;
    mp_get_buffer_raise(given, &buffer, flags);
    if (buffer.len < length) {
        raise(message);
    }
    return buffer.buf;
}

// Room for `samples` int16 in `given`, aligned as the processor wants it.
static inline int16_t *get_samples(
    mp_obj_t given, size_t samples, mp_uint_t flags, const char *message) {
    void *found = get_bytes(given, samples * sizeof(int16_t), flags, message);
    if ((uintptr_t)found % sizeof(int16_t)) {
        raise("the PCM buffer must start at an even address");
    }
    return found;
}

#if GLUE_DYNAMIC

typedef mp_obj_full_type_t glue_type;

// Not static: a native `.mpy` reaches zeroed variables only by their symbols.
#define GLUE_DECLARE_TYPE(name) extern glue_type name##_type

#define GLUE_DEFINE_TYPE(name, qualified, METHODS) \
    glue_type name##_type; \
    mp_map_elem_t name##_table[0 METHODS(GLUE_COUNT)]; \
    static MP_DEFINE_CONST_DICT(name##_locals, name##_table); \
    static void name##_define(void) { \
        mp_map_elem_t *at = name##_table; \
        METHODS(GLUE_ENTRY) \
        glue_define_type(&name##_type, qualified, (const void *)name##_new, &name##_locals); \
    }

#define GLUE_COUNT(name, object) +1
#define GLUE_ENTRY(name, object) \
    *at++ = (mp_map_elem_t){MP_OBJ_NEW_QSTR(name), MP_OBJ_FROM_PTR(&object)};

static inline void glue_define_type(
    glue_type *type, qstr name, const void *make_new, const mp_obj_dict_t *locals) {
    type->base.type = &mp_type_type;
    type->flags = MP_TYPE_FLAG_NONE;
    type->name = (uint16_t)name;
    MP_OBJ_TYPE_SET_SLOT(type, make_new, make_new, 0);
    MP_OBJ_TYPE_SET_SLOT(type, locals_dict, (const void *)locals, 1);
}

#define GLUE_STORE_TYPE(qualified, name) \
    name##_define(); \
    mp_store_global(qualified, MP_OBJ_FROM_PTR(&name##_type));
#define GLUE_STORE_FUNCTION(name, object) mp_store_global(name, MP_OBJ_FROM_PTR(&object));

#define GLUE_DEFINE_MODULE(qualified, name, CONTENTS) \
    mp_obj_t mpy_init(mp_obj_fun_bc_t *self, size_t n_args, size_t n_kw, mp_obj_t *args) { \
        MP_DYNRUNTIME_INIT_ENTRY \
        (void)n_args; \
        (void)n_kw; \
        (void)args; \
        CONTENTS(GLUE_STORE_TYPE, GLUE_STORE_FUNCTION) \
        MP_DYNRUNTIME_INIT_EXIT \
    }

#else

typedef mp_obj_type_t glue_type;

#define GLUE_DECLARE_TYPE(name) extern const glue_type name##_type

#define GLUE_DEFINE_TYPE(name, qualified, METHODS) \
    static const mp_rom_map_elem_t name##_table[] = {METHODS(GLUE_ENTRY)}; \
    static MP_DEFINE_CONST_DICT(name##_locals, name##_table); \
    MP_DEFINE_CONST_OBJ_TYPE( \
        name##_type, qualified, MP_TYPE_FLAG_NONE, make_new, name##_new, locals_dict, &name##_locals);

#define GLUE_ENTRY(name, object) {MP_ROM_QSTR(name), MP_ROM_PTR(&object)},
#define GLUE_TYPE_ENTRY(qualified, name) {MP_ROM_QSTR(qualified), MP_ROM_PTR(&name##_type)},

#define GLUE_DEFINE_MODULE(qualified, name, CONTENTS) \
    static const mp_rom_map_elem_t name##_contents[] = { \
        {MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(qualified)}, \
        CONTENTS(GLUE_TYPE_ENTRY, GLUE_ENTRY)}; \
    static MP_DEFINE_CONST_DICT(name##_globals, name##_contents); \
    const mp_obj_module_t name##_module = { \
        .base = {&mp_type_module}, \
        .globals = (mp_obj_dict_t *)&name##_globals, \
    }; \
    MP_REGISTER_MODULE(qualified, name##_module);

#endif

static inline void *get_self(mp_obj_t given, const glue_type *type) {
    if (mp_obj_get_type(given) != (const mp_obj_type_t *)type) {
        glue_raise(&mp_type_TypeError, "not an object of this type");
    }
    return MP_OBJ_TO_PTR(given);
}

#endif
