// Runs a packed streaming model, one feature row at a time, bit for bit as TensorFlow Lite Micro.
#ifndef HARKEN_INT8_ENGINE_H
#define HARKEN_INT8_ENGINE_H

#include "int8_model.h"

typedef struct {
    const uint8_t *model;
    uint32_t rows; // of the stride at hand
    int8_t arena[];
} harken_model;

// Bytes of state that a checked model needs.
HARKEN_EXPORT uint32_t harken_model_size(const uint8_t *model);

// Starts over; `model` must have passed `harken_model_check` and stay where it is.
HARKEN_EXPORT void harken_model_reset(harken_model *state, const uint8_t *model);

HARKEN_EXPORT uint32_t harken_model_stride(const harken_model *state);
HARKEN_EXPORT uint32_t harken_model_features(const harken_model *state);

// How many bytes the model answers with, and the bytes of its last stride, each 0..255.
HARKEN_EXPORT uint32_t harken_model_outputs(const harken_model *state);
HARKEN_EXPORT const uint8_t *harken_model_output(const harken_model *state);

// Takes one row; the first output, 0..255, where it completed a stride, else -1.
HARKEN_EXPORT int harken_model_step(harken_model *state, const int8_t *row);

// Many rows at once, all outputs of each stride; returns of how many strides. For measuring on a
// computer.
HARKEN_EXPORT uint32_t harken_model_run(
    harken_model *state, const int8_t *rows, uint32_t count, uint8_t *outputs);

#endif
