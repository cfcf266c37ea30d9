#include "int8_model.h"

#define CRC_START 16

// Bit-wise CRC-32 by half bytes: a model is checked once, 64 bytes of table are enough.
static uint32_t crc32(const uint8_t *data, size_t length) {
    static const uint32_t table[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
        0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
    };
    uint32_t crc = 0xffffffff;
    for (size_t n = 0; n < length; n++) {
        crc ^= data[n];
        crc = (crc >> 4) ^ table[crc & 15];
        crc = (crc >> 4) ^ table[crc & 15];
    }
    return ~crc;
}

static int within(uint64_t offset, uint64_t length, uint64_t size) {
    return offset <= size && length <= size - offset;
}

static int table_within(uint64_t offset, uint64_t length, const hkm_header *head) {
    return offset % 4 == 0 && offset >= sizeof(hkm_header) && within(offset, length, head->file_size);
}

// Bytes from the first to past the last one that `positions` windows of an operation touch.
static uint64_t input_span(const hkm_operation *op) {
    return (uint64_t)(op->positions - 1) * op->input_step + (uint64_t)(op->rows - 1) * op->row_stride +
        op->columns;
}

static uint64_t output_span(const hkm_operation *op, uint64_t each) {
    return (uint64_t)(op->positions - 1) * op->output_step + each;
}

static int filters_fit(const uint8_t *model, const hkm_operation *op) {
    const hkm_header *head = hkm_head(model);
    uint64_t weights = (uint64_t)op->rows * op->columns;
    if (op->kind == HKM_DENSE) {
        weights *= op->outputs;
    } else if (op->outputs != op->columns) {
        return 0;
    }
    if (op->outputs == 0 || !table_within(op->weights, weights, head) ||
        !table_within(op->requant, (uint64_t)op->outputs * 12, head)) {
        return 0;
    }
    const int32_t *multiplier = (const int32_t *)(const void *)(model + op->requant) + op->outputs;
    const int32_t *shift = multiplier + op->outputs;
    for (unsigned n = 0; n < op->outputs; n++) {
        if (multiplier[n] < 0 || shift[n] < -31 || shift[n] > 30) {
            return 0;
        }
    }
    return op->least <= op->most;
}

static int operation_fits(const uint8_t *model, const hkm_operation *op) {
    const hkm_header *head = hkm_head(model);
    uint64_t each;
    if (op->rows == 0 || op->columns == 0 || op->positions == 0 || op->reserved != 0) {
        return 0;
    }
    switch (op->kind) {
        case HKM_DENSE:
        case HKM_DEPTHWISE:
            if (!filters_fit(model, op)) {
                return 0;
            }
            each = op->outputs;
            break;
        case HKM_TABLE:
            if (op->rows != 1 || !table_within(op->weights, 256, head)) {
                return 0;
            }
            each = op->columns;
            break;
        case HKM_COPY:
            each = (uint64_t)op->rows * op->columns;
            break;
        case HKM_SHIFT:
            // `rows` rows of `columns` bytes, of which the first `outputs` are dropped.
            if (op->row_stride != op->columns || op->outputs == 0 || op->outputs >= op->rows ||
                op->output != op->input || op->positions != 1) {
                return 0;
            }
            each = (uint64_t)op->rows * op->columns;
            break;
        default:
            return 0;
    }
    return within(op->input, input_span(op), head->arena_size) &&
        within(op->output, output_span(op, each), head->arena_size);
}

static int header_fits(const hkm_header *head, size_t length) {
    return head->magic == HKM_MAGIC && head->version == HKM_VERSION &&
        head->header_size == sizeof(hkm_header) && head->file_size == length &&
        head->arena_size <= HKM_MAX_ARENA && head->stride > 0 && head->features > 0 &&
        within(head->input, (uint64_t)head->stride * head->features, head->arena_size) &&
        within(head->output, (uint64_t)head->further_outputs + 1, head->arena_size) &&
        table_within(head->regions, (uint64_t)head->region_count * sizeof(hkm_region), head) &&
        table_within(head->operations, (uint64_t)head->operation_count * sizeof(hkm_operation), head);
}

int harken_model_check(const uint8_t *model, size_t length) {
    if ((uintptr_t)model % 4) {
        return HKM_ERROR_ALIGNMENT;
    }
    const hkm_header *head = hkm_head(model);
    if (length < sizeof(hkm_header) || !header_fits(head, length)) {
        return HKM_ERROR_HEADER;
    }
    if (crc32(model + CRC_START, length - CRC_START) != head->crc) {
        return HKM_ERROR_CRC;
    }
    const hkm_region *region = hkm_regions(model);
    for (unsigned n = 0; n < head->region_count; n++) {
        if (!within(region[n].offset, region[n].length, head->arena_size)) {
            return HKM_ERROR_REGION;
        }
    }
    const hkm_operation *op = hkm_operations(model);
    for (unsigned n = 0; n < head->operation_count; n++) {
        if (!operation_fits(model, &op[n])) {
            return HKM_ERROR_OPERATION;
        }
    }
    return HKM_OK;
}
