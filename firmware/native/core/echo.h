// Echo canceller: takes the loudspeaker's sound, as the reference knows it, out of the microphone's.
#ifndef HARKEN_ECHO_H
#define HARKEN_ECHO_H

#include <stdint.h>

#include "export.h"

#define ECHO_HOP 160

// What `harken_echo_step` answers.
#define ECHO_ACTIVE 1    // the reference was audible of late: echo is being cancelled
#define ECHO_CONVERGED 2 // the filter has learnt the echo's path
#define ECHO_NEAR 4      // the near talker speaks while echo plays

typedef struct {
    int16_t estimate[ECHO_HOP];
} harken_echo;

HARKEN_EXPORT uint32_t harken_echo_size(void);

// As new.
HARKEN_EXPORT void harken_echo_reset(harken_echo *state);

// Takes 160 samples at 16 kHz of the microphone and of what was given to the loudspeaker (NULL: nothing
// known to play), and writes the microphone's without the echo found in it; ECHO_* flags.
HARKEN_EXPORT int harken_echo_step(harken_echo *state, const int16_t *mic, const int16_t *reference,
                                   int16_t *linear);

// The echo taken out of the last hop, int16 [160].
HARKEN_EXPORT const int16_t *harken_echo_estimate(const harken_echo *state);

// By how many dB the filter lowers the echo, and how late the echo comes.
HARKEN_EXPORT int harken_echo_erle_db(const harken_echo *state);
HARKEN_EXPORT int harken_echo_delay_ms(const harken_echo *state);

#endif
