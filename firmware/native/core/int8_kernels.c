#include "int8_kernels.h"

#define CHANNEL_BLOCK 32

// What gemmlowp does with two roundings: a doubling high multiplication, to nearest, then a
// division by a power of two, to nearest with ties away from zero.
static inline int8_t requantised(int32_t sum, unsigned output, const requant *by) {
    int32_t shift = by->shift[output];
    int left = shift > 0 ? shift : 0;
    int right = shift > 0 ? 0 : -shift;
    int64_t product = (int64_t)(int32_t)((uint32_t)sum << left) * by->multiplier[output];
    int64_t high = (int32_t)((product + (1 << 30)) >> 31);
    if (right) {
        high = (high + ((int64_t)1 << (right - 1)) - (high < 0)) >> right;
    }
    int64_t value = high + by->zero_point;
    value = value < by->least ? by->least : value;
    return (int8_t)(value > by->most ? by->most : value);
}

static inline int32_t dot(const int8_t *a, const int8_t *b, unsigned length) {
    int32_t sum = 0;
    for (unsigned n = 0; n < length; n++) {
        sum += (int16_t)a[n] * (int16_t)b[n];
    }
    return sum;
}

void int8_dense(
    const int8_t *input, unsigned length, const int8_t *weights, unsigned count, const requant *by,
    int8_t *output) {
    for (unsigned o = 0; o < count; o++) {
        int32_t sum = (int32_t)((uint32_t)by->bias[o] + (uint32_t)dot(input, weights, length));
        output[o] = requantised(sum, o, by);
        weights += length;
    }
}

void int8_dense_rows(
    const int8_t *input, const hkm_operation *op, const int8_t *weights, const requant *by,
    int8_t *output) {
    for (unsigned o = 0; o < op->outputs; o++) {
        uint32_t sum = (uint32_t)by->bias[o];
        for (unsigned row = 0; row < op->rows; row++) {
            sum += (uint32_t)dot(input + row * op->row_stride, weights, op->columns);
            weights += op->columns;
        }
        output[o] = requantised((int32_t)sum, o, by);
    }
}

void int8_depthwise(
    const int8_t *input, const hkm_operation *op, const int8_t *weights, const requant *by,
    int8_t *output) {
    int32_t sums[CHANNEL_BLOCK];
    for (unsigned start = 0; start < op->columns; start += CHANNEL_BLOCK) {
        unsigned count = op->columns - start < CHANNEL_BLOCK ? op->columns - start : CHANNEL_BLOCK;
        for (unsigned c = 0; c < count; c++) {
            sums[c] = by->bias[start + c];
        }
        for (unsigned row = 0; row < op->rows; row++) {
            const int8_t *values = input + row * op->row_stride + start;
            const int8_t *filter = weights + row * op->columns + start;
            for (unsigned c = 0; c < count; c++) {
                sums[c] = (int32_t)((uint32_t)sums[c] + (uint32_t)(values[c] * filter[c]));
            }
        }
        for (unsigned c = 0; c < count; c++) {
            output[start + c] = requantised(sums[c], start + c, by);
        }
    }
}
