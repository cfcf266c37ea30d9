// Residual echo: what the canceller leaves, estimated for the post-filter.
//
// The sum of: what the filter has not learnt yet, by its own account (kalman.h), which at first is all
// there is; what leaks of the echo's estimate, band by band (leak.h); a floor under that for what no
// linear filter takes away, the loudspeaker's distortion; and the reverberation that outlasts the filter,
// an exponential tail of the estimate (E. A. P. Habets, S. Gannot, I. Cohen and P. C. W. Sommen, "Joint
// dereverberation and residual echo suppression of speech signals in noisy environments", IEEE Trans.
// Audio, Speech, and Language Processing 16(8), 2008).
#ifndef HARKEN_RESIDUE_H
#define HARKEN_RESIDUE_H

#include <stdint.h>

#include "echo.h"

#define RESIDUE_BINS 161

typedef struct {
    uint32_t tail[RESIDUE_BINS];
    uint32_t unlearnt[RESIDUE_BINS]; // of the hop before
} harken_residue;

// As new.
HARKEN_EXPORT void harken_residue_reset(harken_residue *state);

// Power of the echo that is left in each bin, in the unit of the powers given: those of the canceller's
// output and of the echo it took out, both [161], of the same frame.
HARKEN_EXPORT void harken_residue_power(harken_residue *state, const harken_echo *echo,
                                        const uint32_t *linear_power, const uint32_t *estimate_power,
                                        uint32_t *residue_power);

#endif
