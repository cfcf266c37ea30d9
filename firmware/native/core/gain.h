// Automatic gain and limiter.
//
// The gain brings the level of active speech (the mean power while somebody speaks, as ITU-T P.56 means it)
// to -20 dB of full scale. It moves only while there is speech, slowly up and quicker down, and never lifts
// the noise over a ceiling. The limiter looks ahead within the hop that it is given, so it adds no delay:
// its gain falls along straight lines that end where a peak begins and rises slowly (D. Giannoulis, M.
// Massberg and J. D. Reiss, "Digital dynamic range compressor design: a tutorial and analysis", J. Audio
// Engineering Society 60(6), 2012).
#ifndef HARKEN_GAIN_H
#define HARKEN_GAIN_H

#include <stdint.h>

#include "export.h"

#define GAIN_HOP 160

typedef struct {
    int32_t level;  // of active speech: mean square, log2 in Q16
    int32_t gain;   // amplitude, log2 in Q16
    int32_t factor; // likewise as a number, Q11: where the last hop ended
    int32_t limit;  // the limiter's factor there, Q12
    int32_t heard;  // hops of speech so far, as many as the start needs
} harken_gain;

HARKEN_EXPORT uint32_t harken_gain_size(void);

// As new: no gain, no limiting.
HARKEN_EXPORT void harken_gain_reset(harken_gain *state);

// Takes 160 samples, whether somebody speaks in them (and not the loudspeaker), and the noise in them in dB
// of full scale; writes 160. 1 where the limiter worked. `out` may be `in`.
HARKEN_EXPORT int harken_gain_step(
    harken_gain *state, const int16_t *in, int speech, int noise_db, int16_t *out);

// Lets the sound of 160 samples through, down from where the last hop ended; the gain starts afresh after it.
HARKEN_EXPORT void harken_gain_rest(harken_gain *state, int16_t *pcm);

// The gain reached, in dB, without the limiter.
HARKEN_EXPORT int harken_gain_db(const harken_gain *state);

#endif
