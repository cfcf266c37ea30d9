// WebSocket masking (RFC 6455, section 5.3).
#ifndef HARKEN_MASK_H
#define HARKEN_MASK_H

#include <stddef.h>
#include <stdint.h>

#include "export.h"

// XORs `length` bytes with the 4 bytes of `key` in turn, in place.
HARKEN_EXPORT void harken_mask(uint8_t *data, size_t length, const uint8_t *key);

#endif
