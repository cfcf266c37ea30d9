// The packed model (`.hkm`): what `harken_models.pack` writes and the engine runs in place.
//
// Little-endian, every part aligned to 4 bytes from the start:
//   header | regions | operations | tables and weights
// The activations of the model live in one arena; offsets in regions and operations count from its
// start, offsets of weights and tables from the start of the file.
#ifndef HARKEN_INT8_MODEL_H
#define HARKEN_INT8_MODEL_H

#include <stddef.h>
#include <stdint.h>

#include "export.h"

#define HKM_MAGIC 0x314d4b48 // "HKM1"
#define HKM_VERSION 1
#define HKM_MAX_ARENA (1u << 20)

typedef struct {
    uint32_t magic;
    uint16_t version;
    uint16_t header_size;
    uint32_t file_size;
    uint32_t crc; // CRC-32 (IEEE 802.3) of everything after this field
    uint16_t stride;   // feature rows of one inference
    uint16_t features; // bytes of a row
    uint16_t region_count;
    uint16_t operation_count;
    uint32_t arena_size;
    uint32_t input;  // arena offset: stride * features int8
    uint32_t output; // arena offset: the outputs, one byte each, 0..255
    uint32_t regions;    // file offsets
    uint32_t operations;
    uint32_t further_outputs; // after the first
} hkm_header;

// A state of the stream and the value all its bytes start with.
typedef struct {
    uint32_t offset;
    uint32_t length;
    int32_t value;
} hkm_region;

enum {
    HKM_DENSE = 1,     // convolutions over time and fully connected layers
    HKM_DEPTHWISE = 2, // one filter over time per channel
    HKM_TABLE = 3,     // any function of one int8, as 256 entries
    HKM_SHIFT = 4,     // a ring buffer forgets its oldest rows
    HKM_COPY = 5,
};

// Input positions lie `input_step` apart, outputs `output_step`; at each position the operation
// sees `rows` rows of `columns` bytes, `row_stride` apart.
typedef struct {
    uint8_t kind;
    int8_t zero_point;
    int8_t least;
    int8_t most;
    uint32_t input;
    uint32_t output;
    uint16_t rows;
    uint16_t columns;
    uint16_t row_stride;
    uint16_t outputs;
    uint16_t positions;
    uint16_t input_step;
    uint16_t output_step;
    uint16_t reserved;
    uint32_t weights; // int8 [outputs][rows][columns], or [rows][outputs] where depthwise, or a table
    uint32_t requant; // int32 bias[outputs], multiplier[outputs], shift[outputs]
} hkm_operation;

typedef enum {
    HKM_OK = 0,
    HKM_ERROR_ALIGNMENT,
    HKM_ERROR_HEADER,
    HKM_ERROR_CRC,
    HKM_ERROR_REGION,
    HKM_ERROR_OPERATION,
} hkm_error;

// Checks everything the engine later trusts: a model that passes cannot make it read or write
// outside the model and its arena. `model` must be aligned to 4 bytes.
HARKEN_EXPORT int harken_model_check(const uint8_t *model, size_t length);

static inline const hkm_header *hkm_head(const uint8_t *model) {
    return (const hkm_header *)(const void *)model;
}

static inline const hkm_operation *hkm_operations(const uint8_t *model) {
    return (const hkm_operation *)(const void *)(model + hkm_head(model)->operations);
}

static inline const hkm_region *hkm_regions(const uint8_t *model) {
    return (const hkm_region *)(const void *)(model + hkm_head(model)->regions);
}

#endif
