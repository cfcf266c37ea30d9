// Runs a packed streaming model, one feature row at a time, bit for bit as TensorFlow Lite Micro.
#ifndef HARKEN_INT8_ENGINE_H
#define HARKEN_INT8_ENGINE_H

#include "int8_model.h"

typedef struct {
    const uint8_t *model;
    uint32_t rows; // of the stride at hand
    int8_t arena[];
} harken_wake;

// Bytes of state that a checked model needs.
HARKEN_EXPORT uint32_t harken_wake_size(const uint8_t *model);

// Starts over; `model` must have passed `harken_model_check` and stay where it is.
HARKEN_EXPORT void harken_wake_reset(harken_wake *state, const uint8_t *model);

HARKEN_EXPORT uint32_t harken_wake_stride(const harken_wake *state);
HARKEN_EXPORT uint32_t harken_wake_features(const harken_wake *state);

// Takes one row; the probability 0..255 where it completed a stride, else -1.
HARKEN_EXPORT int harken_wake_step(harken_wake *state, const int8_t *row);

// Many rows at once; returns how many probabilities it wrote. For measuring on a computer.
HARKEN_EXPORT uint32_t harken_wake_run(
    harken_wake *state, const int8_t *rows, uint32_t count, uint8_t *probabilities);

#endif
