// Bit counts.
#ifndef HARKEN_BITS_H
#define HARKEN_BITS_H

#include <stdint.h>

// Bits needed to write `value`: 0 for 0, 32 for 0x80000000.
static inline int bit_length32(uint32_t value) {
    return value ? 32 - __builtin_clz(value) : 0;
}

static inline int bit_length64(uint64_t value) {
    uint32_t high = (uint32_t)(value >> 32);
    return high ? 32 + bit_length32(high) : bit_length32((uint32_t)value);
}

#endif
