// The level of a block of 160 samples, and a block louder or softer.
#ifndef HARKEN_LEVEL_H
#define HARKEN_LEVEL_H

#include <stdint.h>

#include "export.h"

#define LEVEL_HOP 160
#define LEVEL_FULL_GAIN 32768

// The level of what `one` has more than `other` (NULL: of `one` itself), without its mean: the logarithm of
// the power to base 2, times 16, with straight lines between powers of two; 517 is full scale, 0 nothing.
// Samples are counted up to half of full scale.
HARKEN_EXPORT int harken_level(const int16_t *one, const int16_t *other);

// Multiplies by a gain that moves in a line from that of the first sample to `goal`, which the next block's
// first may have; 0 to 32,768, which is 1.0. The first sample above 64 (-54 dB of full scale), or -1. `out`
// may be `in`.
HARKEN_EXPORT int harken_amplify(const int16_t *in, int32_t gain, int32_t goal, int16_t *out);

#endif
