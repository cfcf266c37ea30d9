// Residual echo: what the canceller leaves, estimated for the post-filter.
#ifndef HARKEN_RESIDUE_H
#define HARKEN_RESIDUE_H

#include <stdint.h>

#include "echo.h"

#define RESIDUE_BINS 161

typedef struct {
    uint32_t late[RESIDUE_BINS];
} harken_residue;

// As new.
HARKEN_EXPORT void harken_residue_reset(harken_residue *state);

// Power of the echo that is left in each bin, in the unit of the powers given: those of the canceller's
// output and of the echo it took out, both [161], of the same frame.
HARKEN_EXPORT void harken_residue_power(harken_residue *state, const harken_echo *echo,
                                        const uint32_t *linear_power, const uint32_t *estimate_power,
                                        uint32_t *residue_power);

#endif
