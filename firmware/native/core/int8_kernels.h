// The operations of the int8 engine. Every sum is int32 and wraps as the reference's does, so its
// order is free; what is left of exactness is in `requantised`.
#ifndef HARKEN_INT8_KERNELS_H
#define HARKEN_INT8_KERNELS_H

#include "int8_model.h"

// Per-output constants of a layer: `bias` already holds the input's zero point times the weights.
typedef struct {
    const int32_t *bias;
    const int32_t *multiplier;
    const int32_t *shift;
    int32_t zero_point;
    int32_t least;
    int32_t most;
} requant;

// `count` outputs; each is the dot product of `length` contiguous inputs with its own weights.
void int8_dense(
    const int8_t *input, unsigned length, const int8_t *weights, unsigned count, const requant *by,
    int8_t *output);

// As `int8_dense`, over `rows` rows of `columns` inputs that lie `row_stride` apart.
void int8_dense_rows(
    const int8_t *input, const hkm_operation *op, const int8_t *weights, const requant *by,
    int8_t *output);

// Each channel is the dot product over time with its own filter; weights [rows][channels].
void int8_depthwise(
    const int8_t *input, const hkm_operation *op, const int8_t *weights, const requant *by,
    int8_t *output);

#endif
