#include "int8_kernels.h"

#include "int8_dot.h"

#if defined(__SSE2__) && !defined(__clang__)
// GCC's -O2 leaves loops of unknown length as they are; these want vectors.
#pragma GCC optimize("O3")
#endif

#define CHANNEL_BLOCK 32

static inline int32_t wrapping_sum(int32_t a, int32_t b) {
    return (int32_t)((uint32_t)a + (uint32_t)b);
}

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

void int8_dense(
    const int8_t *input, unsigned length, const int8_t *weights, unsigned count, const requant *by,
    int8_t *output) {
    unsigned o = 0;
    for (; o + DOT_ROWS <= count; o += DOT_ROWS) {
        int32_t sums[DOT_ROWS];
        dot4(input, weights, length, sums);
        for (unsigned r = 0; r < DOT_ROWS; r++) {
            output[o + r] = requantised(wrapping_sum(by->bias[o + r], sums[r]), o + r, by);
        }
        weights += DOT_ROWS * length;
    }
    for (; o < count; o++) {
        int32_t sum = dot_tail(input, weights, 0, length);
        output[o] = requantised(wrapping_sum(by->bias[o], sum), o, by);
        weights += length;
    }
}

void int8_dense_rows(
    const int8_t *input, const hkm_operation *op, const int8_t *weights, const requant *by,
    int8_t *output) {
    for (unsigned o = 0; o < op->outputs; o++) {
        int32_t sum = by->bias[o];
        for (unsigned row = 0; row < op->rows; row++) {
            sum = wrapping_sum(sum, dot_tail(input + row * op->row_stride, weights, 0, op->columns));
            weights += op->columns;
        }
        output[o] = requantised(sum, o, by);
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
                sums[c] = wrapping_sum(sums[c], values[c] * filter[c]);
            }
        }
        for (unsigned c = 0; c < count; c++) {
            output[start + c] = requantised(sums[c], start + c, by);
        }
    }
}
