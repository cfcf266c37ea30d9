#include "mask.h"

#include <string.h>

void harken_mask(uint8_t *data, size_t length, const uint8_t *key) {
    uint32_t word;
    memcpy(&word, key, sizeof(word));
    size_t n = 0;
    for (; n + 4 <= length; n += 4) {
        uint32_t four;
        memcpy(&four, data + n, sizeof(four));
        four ^= word;
        memcpy(data + n, &four, sizeof(four));
    }
    for (; n < length; n++) {
        data[n] ^= key[n & 3];
    }
}
