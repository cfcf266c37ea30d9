// MicroPython module `harken_opus`: speech over libopus (fixed point), mono, int16.
//
// The state of libopus holds pointers, so it lives behind the object's header and is never handed
// out. Everything a caller passes is measured before libopus sees it, and only the requests of
// `tune` and `reset` reach `opus_encoder_ctl`: some others take pointers.

#include <string.h>

#include "../glue/module.h"

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

GLUE_DECLARE_TYPE(encoder);
GLUE_DECLARE_TYPE(decoder);

// libopus' own assertions end here; the object wants `reset` before it is used again.
GLUE_NORETURN void harken_opus_fault(void) {
    raise("libopus found its state broken: call reset()");
}

GLUE_NORETURN static void raise_opus(int status) {
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

static mp_int_t get_rate(mp_obj_t given) {
    const char *message = "rate must be 8000, 12000, 16000, 24000 or 48000";
    mp_int_t rate = get_int(given, 8000, 48000, message);
    if (rate != 8000 && rate != 12000 && rate != 16000 && rate != 24000 && rate != 48000) {
        raise(message);
    }
    return rate;
}

static opus_int16 *get_pcm(mp_obj_t given, mp_int_t samples, mp_uint_t flags) {
    return get_samples(
        given, (size_t)samples, flags, "the PCM buffer is shorter than `samples`");
}

static const unsigned char *get_packet(mp_obj_t given, mp_obj_t given_length, mp_int_t *length) {
    mp_buffer_info_t buffer;
    mp_get_buffer_raise(given, &buffer, MP_BUFFER_READ);
    mp_int_t limit = buffer.len < INT32_MAX ? (mp_int_t)buffer.len : INT32_MAX;
    *length = get_int(given_length, 1, limit, "length must be 1 to the packet buffer's length");
    return buffer.buf;
}

static codec_t *new_codec(const mp_obj_type_t *type, mp_int_t rate, int bytes) {
    codec_t *self = m_malloc(sizeof(codec_t) + (size_t)bytes);
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
    codec_t *self = get_self(args[0], &encoder_type);
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
    codec_t *self = get_self(args[0], &encoder_type);
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
    codec_t *self = get_self(given, &encoder_type);
    opus_encoder_ctl((OpusEncoder *)self->state, OPUS_RESET_STATE);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(encoder_reset_obj, encoder_reset);

#define ENCODER_METHODS(METHOD) \
    METHOD(MP_QSTR_encode, encoder_encode_obj) \
    METHOD(MP_QSTR_tune, encoder_tune_obj) \
    METHOD(MP_QSTR_reset, encoder_reset_obj)
GLUE_DEFINE_TYPE(encoder, MP_QSTR_Encoder, ENCODER_METHODS)

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
    codec_t *self, const unsigned char *packet, mp_int_t length, opus_int16 *pcm, mp_int_t samples, int fec) {
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
    codec_t *self = get_self(args[0], &decoder_type);
    const unsigned char *packet = NULL;
    mp_int_t length = 0;
    mp_int_t samples;
    if (args[1] == mp_const_none) {
        samples = get_gap(self, args[4]);
    } else {
        packet = get_packet(args[1], args[2], &length);
        samples = get_int(args[4], 1, INT32_MAX / 2, "samples must be 1 or more");
    }
    opus_int16 *pcm = get_pcm(args[3], samples, MP_BUFFER_WRITE);
    if (samples > longest(self)) {
        samples = longest(self);
    }
    return run_decoder(self, packet, length, pcm, samples, 0);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(decoder_decode_obj, 5, 5, decoder_decode);

// decode_fec(packet, length, out, samples) -> samples written, of the packet before `packet`
static mp_obj_t decoder_decode_fec(size_t n, const mp_obj_t *args) {
    (void)n;
    codec_t *self = get_self(args[0], &decoder_type);
    mp_int_t length;
    const unsigned char *packet = get_packet(args[1], args[2], &length);
    mp_int_t samples = get_gap(self, args[4]);
    opus_int16 *pcm = get_pcm(args[3], samples, MP_BUFFER_WRITE);
    return run_decoder(self, packet, length, pcm, samples, 1);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(decoder_decode_fec_obj, 5, 5, decoder_decode_fec);

static mp_obj_t decoder_reset(mp_obj_t given) {
    codec_t *self = get_self(given, &decoder_type);
    opus_decoder_ctl((OpusDecoder *)self->state, OPUS_RESET_STATE);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(decoder_reset_obj, decoder_reset);

#define DECODER_METHODS(METHOD) \
    METHOD(MP_QSTR_decode, decoder_decode_obj) \
    METHOD(MP_QSTR_decode_fec, decoder_decode_fec_obj) \
    METHOD(MP_QSTR_reset, decoder_reset_obj)
GLUE_DEFINE_TYPE(decoder, MP_QSTR_Decoder, DECODER_METHODS)

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

#define CONTENTS(TYPE, FUNCTION) \
    TYPE(MP_QSTR_Encoder, encoder) \
    TYPE(MP_QSTR_Decoder, decoder) \
    FUNCTION(MP_QSTR_packet_samples, packet_samples_obj) \
    FUNCTION(MP_QSTR_version, version_obj)
GLUE_DEFINE_MODULE(MP_QSTR_harken_opus, harken_opus, CONTENTS)
