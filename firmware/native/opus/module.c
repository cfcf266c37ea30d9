// MicroPython module `harken_opus`: speech over libopus (fixed point), mono, int16.
//
// The state of libopus holds pointers, so it lives behind the object's header and is never handed
// out. Everything a caller passes is measured before libopus sees it, and only the requests of
// `tune` and `reset` reach `opus_encoder_ctl`: some others take pointers.

#include <string.h>

#include "py/dynruntime.h"

#include "opus.h"

#define PACKETS_PER_SECOND 400 // The shortest Opus frame is 2.5 ms.
#define LONGEST_PACKETS 48     // The longest packet is 120 ms.
#define LARGEST_FRAME 1276     // Octets libopus writes for one frame at most, and the useful end.
#define LARGEST_PACKET (6 * LARGEST_FRAME)

typedef struct {
    mp_obj_base_t base;
    mp_int_t rate;
    uint64_t state[];
} codec_t;

// Not static: a native `.mpy` reaches zeroed variables only by their symbols.
mp_obj_full_type_t encoder_type;
mp_obj_full_type_t decoder_type;

NORETURN static void raise(const char *message) {
    mp_raise_ValueError(message);
    for (;;) {
    }
}

// libopus' own assertions end here; the object wants `reset` before it is used again.
NORETURN void harken_opus_fault(void) {
    raise("libopus found its state broken: call reset()");
}

NORETURN static void raise_opus(int status) {
    if (status == OPUS_BUFFER_TOO_SMALL) {
        raise("the buffer is too small for this frame or packet");
    }
    if (status == OPUS_INVALID_PACKET) {
        raise("this is no Opus packet");
    }
    if (status == OPUS_BAD_ARG) {
        raise("libopus refuses these arguments");
    }
    raise("libopus failed: call reset()");
}

// Integers beyond a machine word are cut by MicroPython, so they are refused by their type.
static mp_int_t get_int(mp_obj_t given, mp_int_t low, mp_int_t high, const char *message) {
    mp_int_t value = mp_obj_get_int(given);
    if (!mp_obj_is_small_int(given) && given != mp_const_true && given != mp_const_false) {
        raise(message);
    }
    if (value < low || value > high) {
        raise(message);
    }
    return value;
}

static mp_int_t get_rate(mp_obj_t given) {
    const char *message = "rate must be 8000, 12000, 16000, 24000 or 48000";
    mp_int_t rate = get_int(given, 8000, 48000, message);
    if (rate != 8000 && rate != 12000 && rate != 16000 && rate != 24000 && rate != 48000) {
        raise(message);
    }
    return rate;
}

static codec_t *get_codec(mp_obj_t given, const mp_obj_full_type_t *type) {
    if (mp_obj_get_type(given) != (const mp_obj_type_t *)type) {
        mp_raise_TypeError("not a codec of this type");
    }
    return MP_OBJ_TO_PTR(given);
}

// Room for `samples` int16 in `given`, aligned as the processor wants it.
static void *get_pcm(mp_obj_t given, mp_int_t samples, mp_uint_t flags) {
    mp_buffer_info_t buffer;
    mp_get_buffer_raise(given, &buffer, flags);
    if ((uintptr_t)buffer.buf % sizeof(opus_int16)) {
        raise("the PCM buffer must start at an even address");
    }
    if (buffer.len / sizeof(opus_int16) < (size_t)samples) {
        raise("the PCM buffer is shorter than `samples`");
    }
    return buffer.buf;
}

static const unsigned char *get_packet(mp_obj_t given, mp_obj_t given_length, mp_int_t *length) {
    mp_buffer_info_t buffer;
    mp_get_buffer_raise(given, &buffer, MP_BUFFER_READ);
    mp_int_t limit = buffer.len < INT32_MAX ? (mp_int_t)buffer.len : INT32_MAX;
    *length = get_int(given_length, 1, limit, "length must be 1 to the packet buffer's length");
    return buffer.buf;
}

static codec_t *new_codec(const mp_obj_type_t *type, mp_int_t rate, int bytes) {
    codec_t *self = m_malloc(sizeof(codec_t) + bytes);
    self->base.type = type;
    self->rate = rate;
    return self;
}

// Encoder ------------------------------------------------------------------

static void set_bitrate(codec_t *self, mp_int_t bitrate) {
    opus_encoder_ctl((OpusEncoder *)self->state, OPUS_SET_BITRATE((opus_int32)bitrate));
}

static void set_complexity(codec_t *self, mp_int_t complexity) {
    opus_encoder_ctl((OpusEncoder *)self->state, OPUS_SET_COMPLEXITY((opus_int32)complexity));
}

static mp_int_t get_bitrate(mp_obj_t given, mp_int_t low) {
    mp_int_t bitrate = get_int(given, low, 510000, "bitrate must be 6000 to 510000");
    if (bitrate >= 0 && bitrate < 6000) {
        raise("bitrate must be 6000 to 510000");
    }
    return bitrate;
}

static mp_obj_t encoder_new(const mp_obj_type_t *type, size_t n, size_t n_kw, const mp_obj_t *args) {
    mp_arg_check_num(n, n_kw, 3, 3, false);
    mp_int_t rate = get_rate(args[0]);
    mp_int_t bitrate = get_bitrate(args[1], 6000);
    mp_int_t complexity = get_int(args[2], 0, 10, "complexity must be 0 to 10");
    codec_t *self = new_codec(type, rate, opus_encoder_get_size(1));
    int status = opus_encoder_init(
        (OpusEncoder *)self->state, (opus_int32)rate, 1, OPUS_APPLICATION_VOIP);
    if (status != OPUS_OK) {
        raise_opus(status);
    }
    set_bitrate(self, bitrate);
    set_complexity(self, complexity);
    return MP_OBJ_FROM_PTR(self);
}

static bool legal_frame(mp_int_t rate, mp_int_t samples) {
    static const uint8_t shortest_frames[] = {1, 2, 4, 8, 16, 24, 32, 40, 48};
    for (size_t i = 0; i < sizeof(shortest_frames); ++i) {
        if (samples * PACKETS_PER_SECOND == rate * shortest_frames[i]) {
            return true;
        }
    }
    return false;
}

// encode(pcm, samples, out) -> octets written
static mp_obj_t encoder_encode(size_t n, const mp_obj_t *args) {
    (void)n;
    codec_t *self = get_codec(args[0], &encoder_type);
    const char *illegal = "samples must be 2.5, 5, 10, 20, 40, 60, 80, 100 or 120 ms";
    mp_int_t samples = get_int(args[2], 1, 48000, illegal);
    if (!legal_frame(self->rate, samples)) {
        raise(illegal);
    }
    const opus_int16 *pcm = get_pcm(args[1], samples, MP_BUFFER_READ);
    mp_buffer_info_t out;
    mp_get_buffer_raise(args[3], &out, MP_BUFFER_WRITE);
    if (out.len == 0) {
        raise("the packet buffer is empty");
    }
    opus_int32 room = out.len < LARGEST_PACKET ? (opus_int32)out.len : LARGEST_PACKET;
    opus_int32 written =
        opus_encode((OpusEncoder *)self->state, pcm, (int)samples, out.buf, room);
    if (written < 0) {
        raise_opus(written);
    }
    return MP_OBJ_NEW_SMALL_INT(written);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(encoder_encode_obj, 4, 4, encoder_encode);

// tune(bitrate, complexity, fec, loss_percent); -1 leaves a value as it is
static mp_obj_t encoder_tune(size_t n, const mp_obj_t *args) {
    (void)n;
    codec_t *self = get_codec(args[0], &encoder_type);
    OpusEncoder *state = (OpusEncoder *)self->state;
    mp_int_t bitrate = get_bitrate(args[1], -1);
    mp_int_t complexity = get_int(args[2], -1, 10, "complexity must be 0 to 10");
    mp_int_t fec = get_int(args[3], -1, 1, "fec must be 0 or 1");
    mp_int_t loss = get_int(args[4], -1, 100, "loss_percent must be 0 to 100");
    if (bitrate >= 0) {
        set_bitrate(self, bitrate);
    }
    if (complexity >= 0) {
        set_complexity(self, complexity);
    }
    if (fec >= 0) {
        opus_encoder_ctl(state, OPUS_SET_INBAND_FEC((opus_int32)fec));
    }
    if (loss >= 0) {
        opus_encoder_ctl(state, OPUS_SET_PACKET_LOSS_PERC((opus_int32)loss));
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(encoder_tune_obj, 5, 5, encoder_tune);

static mp_obj_t encoder_reset(mp_obj_t given) {
    codec_t *self = get_codec(given, &encoder_type);
    opus_encoder_ctl((OpusEncoder *)self->state, OPUS_RESET_STATE);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(encoder_reset_obj, encoder_reset);

// Decoder ------------------------------------------------------------------

static mp_obj_t decoder_new(const mp_obj_type_t *type, size_t n, size_t n_kw, const mp_obj_t *args) {
    mp_arg_check_num(n, n_kw, 1, 1, false);
    mp_int_t rate = get_rate(args[0]);
    codec_t *self = new_codec(type, rate, opus_decoder_get_size(1));
    int status = opus_decoder_init((OpusDecoder *)self->state, (opus_int32)rate, 1);
    if (status != OPUS_OK) {
        raise_opus(status);
    }
    return MP_OBJ_FROM_PTR(self);
}

static mp_int_t longest(const codec_t *self) {
    return self->rate * LONGEST_PACKETS / PACKETS_PER_SECOND;
}

// A gap is filled in steps of the shortest frame.
static mp_int_t get_gap(const codec_t *self, mp_obj_t given) {
    const char *message = "to conceal or recover, samples must be a multiple of 2.5 ms up to 120 ms";
    mp_int_t samples = get_int(given, 1, longest(self), message);
    if (samples % (self->rate / PACKETS_PER_SECOND)) {
        raise(message);
    }
    return samples;
}

static mp_obj_t run_decoder(
    codec_t *self, const unsigned char *packet, mp_int_t length, void *pcm, mp_int_t samples, int fec) {
    int written = opus_decode(
        (OpusDecoder *)self->state, packet, (opus_int32)length, pcm, (int)samples, fec);
    if (written < 0) {
        raise_opus(written);
    }
    return MP_OBJ_NEW_SMALL_INT(written);
}

// decode(packet or None, length, out, samples) -> samples written
static mp_obj_t decoder_decode(size_t n, const mp_obj_t *args) {
    (void)n;
    codec_t *self = get_codec(args[0], &decoder_type);
    const unsigned char *packet = NULL;
    mp_int_t length = 0;
    mp_int_t samples;
    if (args[1] == mp_const_none) {
        samples = get_gap(self, args[4]);
    } else {
        packet = get_packet(args[1], args[2], &length);
        samples = get_int(args[4], 1, INT32_MAX / 2, "samples must be 1 or more");
    }
    void *pcm = get_pcm(args[3], samples, MP_BUFFER_WRITE);
    if (samples > longest(self)) {
        samples = longest(self);
    }
    return run_decoder(self, packet, length, pcm, samples, 0);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(decoder_decode_obj, 5, 5, decoder_decode);

// decode_fec(packet, length, out, samples) -> samples written, of the packet before `packet`
static mp_obj_t decoder_decode_fec(size_t n, const mp_obj_t *args) {
    (void)n;
    codec_t *self = get_codec(args[0], &decoder_type);
    mp_int_t length;
    const unsigned char *packet = get_packet(args[1], args[2], &length);
    mp_int_t samples = get_gap(self, args[4]);
    void *pcm = get_pcm(args[3], samples, MP_BUFFER_WRITE);
    return run_decoder(self, packet, length, pcm, samples, 1);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(decoder_decode_fec_obj, 5, 5, decoder_decode_fec);

static mp_obj_t decoder_reset(mp_obj_t given) {
    codec_t *self = get_codec(given, &decoder_type);
    opus_decoder_ctl((OpusDecoder *)self->state, OPUS_RESET_STATE);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(decoder_reset_obj, decoder_reset);

// Module -------------------------------------------------------------------

// packet_samples(packet, length, rate) -> samples
static mp_obj_t packet_samples(mp_obj_t given, mp_obj_t given_length, mp_obj_t given_rate) {
    mp_int_t length;
    const unsigned char *packet = get_packet(given, given_length, &length);
    mp_int_t rate = get_rate(given_rate);
    int samples = opus_packet_get_nb_samples(packet, (opus_int32)length, (opus_int32)rate);
    if (samples < 0) {
        raise_opus(samples);
    }
    return MP_OBJ_NEW_SMALL_INT(samples);
}
static MP_DEFINE_CONST_FUN_OBJ_3(packet_samples_obj, packet_samples);

static mp_obj_t version(void) {
    const char *text = opus_get_version_string();
    return mp_obj_new_str(text, strlen(text));
}
static MP_DEFINE_CONST_FUN_OBJ_0(version_obj, version);

mp_map_elem_t encoder_table[3];
static MP_DEFINE_CONST_DICT(encoder_locals, encoder_table);
mp_map_elem_t decoder_table[3];
static MP_DEFINE_CONST_DICT(decoder_locals, decoder_table);

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
    encoder_table[0] = ENTRY(MP_QSTR_encode, encoder_encode_obj);
    encoder_table[1] = ENTRY(MP_QSTR_tune, encoder_tune_obj);
    encoder_table[2] = ENTRY(MP_QSTR_reset, encoder_reset_obj);
    decoder_table[0] = ENTRY(MP_QSTR_decode, decoder_decode_obj);
    decoder_table[1] = ENTRY(MP_QSTR_decode_fec, decoder_decode_fec_obj);
    decoder_table[2] = ENTRY(MP_QSTR_reset, decoder_reset_obj);
    make_type(&encoder_type, MP_QSTR_Encoder, encoder_new, &encoder_locals);
    make_type(&decoder_type, MP_QSTR_Decoder, decoder_new, &decoder_locals);
    mp_store_global(MP_QSTR_packet_samples, MP_OBJ_FROM_PTR(&packet_samples_obj));
    mp_store_global(MP_QSTR_version, MP_OBJ_FROM_PTR(&version_obj));
    MP_DYNRUNTIME_INIT_EXIT
}
