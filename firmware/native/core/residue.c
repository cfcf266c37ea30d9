#include "residue.h"

#include <string.h>

void harken_residue_reset(harken_residue *state) {
    memset(state, 0, sizeof(*state));
}

void harken_residue_power(harken_residue *state, const harken_echo *echo, const uint32_t *linear_power,
                          const uint32_t *estimate_power, uint32_t *residue_power) {
    (void)state;
    (void)echo;
    (void)linear_power;
    (void)estimate_power;
    memset(residue_power, 0, RESIDUE_BINS * sizeof(*residue_power));
}
