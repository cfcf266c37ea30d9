#include "int8_engine.h"

#include <string.h>

#include "int8_kernels.h"

uint32_t harken_model_size(const uint8_t *model) {
    return sizeof(harken_model) + hkm_head(model)->arena_size;
}

void harken_model_reset(harken_model *state, const uint8_t *model) {
    const hkm_header *head = hkm_head(model);
    const hkm_region *region = hkm_regions(model);
    state->model = model;
    state->rows = 0;
    memset(state->arena, 0, head->arena_size);
    for (unsigned n = 0; n < head->region_count; n++) {
        memset(state->arena + region[n].offset, region[n].value, region[n].length);
    }
}

uint32_t harken_model_stride(const harken_model *state) {
    return hkm_head(state->model)->stride;
}

uint32_t harken_model_features(const harken_model *state) {
    return hkm_head(state->model)->features;
}

uint32_t harken_model_outputs(const harken_model *state) {
    return 1 + hkm_head(state->model)->further_outputs;
}

const uint8_t *harken_model_output(const harken_model *state) {
    return (const uint8_t *)state->arena + hkm_head(state->model)->output;
}

static requant requant_of(const uint8_t *model, const hkm_operation *op) {
    const int32_t *bias = (const int32_t *)(const void *)(model + op->requant);
    return (requant){
        bias, bias + op->outputs, bias + 2 * op->outputs, op->zero_point, op->least, op->most};
}

static void run_filters(const uint8_t *model, const hkm_operation *op, int8_t *arena) {
    requant by = requant_of(model, op);
    const int8_t *weights = (const int8_t *)model + op->weights;
    const int8_t *input = arena + op->input;
    int8_t *output = arena + op->output;
    for (unsigned n = 0; n < op->positions; n++) {
        if (op->kind == HKM_DEPTHWISE) {
            int8_depthwise(input, op, weights, &by, output);
        } else if (op->row_stride == op->columns) {
            int8_dense(input, (unsigned)op->rows * op->columns, weights, op->outputs, &by, output);
        } else {
            int8_dense_rows(input, op, weights, &by, output);
        }
        input += op->input_step;
        output += op->output_step;
    }
}

static void run_table(const uint8_t *table, const hkm_operation *op, int8_t *arena) {
    for (unsigned n = 0; n < op->positions; n++) {
        const int8_t *input = arena + op->input + n * op->input_step;
        int8_t *output = arena + op->output + n * op->output_step;
        for (unsigned c = 0; c < op->columns; c++) {
            output[c] = (int8_t)table[input[c] + 128];
        }
    }
}

static void run_copy(const hkm_operation *op, int8_t *arena) {
    for (unsigned n = 0; n < op->positions; n++) {
        const int8_t *input = arena + op->input + n * op->input_step;
        int8_t *output = arena + op->output + n * op->output_step;
        for (unsigned row = 0; row < op->rows; row++) {
            memmove(output + row * op->columns, input + row * op->row_stride, op->columns);
        }
    }
}

static void run_shift(const hkm_operation *op, int8_t *arena) {
    unsigned dropped = (unsigned)op->outputs * op->columns;
    int8_t *rows = arena + op->input;
    memmove(rows, rows + dropped, (unsigned)op->rows * op->columns - dropped);
}

static void run(const uint8_t *model, const hkm_operation *op, int8_t *arena) {
    if (op->kind == HKM_SHIFT) {
        run_shift(op, arena);
    } else if (op->kind == HKM_TABLE) {
        run_table(model + op->weights, op, arena);
    } else if (op->kind == HKM_COPY) {
        run_copy(op, arena);
    } else {
        run_filters(model, op, arena);
    }
}

int harken_model_step(harken_model *state, const int8_t *row) {
    const hkm_header *head = hkm_head(state->model);
    memcpy(state->arena + head->input + state->rows * head->features, row, head->features);
    state->rows++;
    if (state->rows < head->stride) {
        return -1;
    }
    state->rows = 0;
    const hkm_operation *op = hkm_operations(state->model);
    for (unsigned n = 0; n < head->operation_count; n++) {
        run(state->model, &op[n], state->arena);
    }
    return *harken_model_output(state);
}

uint32_t harken_model_run(
    harken_model *state, const int8_t *rows, uint32_t count, uint8_t *outputs) {
    uint32_t features = harken_model_features(state);
    uint32_t width = harken_model_outputs(state);
    uint32_t strides = 0;
    for (uint32_t n = 0; n < count; n++) {
        if (harken_model_step(state, rows + (size_t)n * features) >= 0) {
            memcpy(outputs + (size_t)strides * width, harken_model_output(state), width);
            strides++;
        }
    }
    return strides;
}
