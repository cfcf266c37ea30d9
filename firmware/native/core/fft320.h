// FFT of 320 real samples (20 ms at 16 kHz) in 32 bits: 161 bins, bin 160 is 8 kHz.
//
// A complex transform of half the length, radices 5, 2, 4 and 4, decimated in time (J. W. Cooley and
// J. W. Tukey, "An algorithm for the machine calculation of complex Fourier series", Mathematics of
// Computation 19, 1965), and the usual split of an even and an odd sequence. Twiddle factors are Q31, every
// product is rounded, and one or two bits are kept below a sample's last, so that the error is an eighth of
// that, either way: 122 dB under full-scale noise that was shifted left by 3, 84 dB under noise of 3000 that
// was not.
//
// Forward is the plain sum (X[k] = sum of x[n] exp(-2 pi j k n / 320)); inverse divides by 320, so that it
// undoes forward. Nothing overflows while
//   forward: |samples| < 2^21 (int16 may be shifted left by 6);
//   inverse: |r| and |i| < 2^27 (which int16 shifted left by 3 cannot pass).
#ifndef HARKEN_FFT320_H
#define HARKEN_FFT320_H

#include <stdint.h>

#include "export.h"

#define FFT320 320
#define FFT320_BINS 161

typedef struct {
    int32_t r;
    int32_t i;
} complex32;

// A frame of samples, which the transform takes in pairs.
typedef union {
    int32_t samples[FFT320];
    complex32 pairs[FFT320 / 2];
} fft320_frame;

// `bins`: room for 161. Leaves `frame` as it is.
HARKEN_EXPORT void fft320_forward(const fft320_frame *frame, complex32 *bins);

// `bins`: 161, left as they are; the imaginary parts of the first and the last do not count.
HARKEN_EXPORT void fft320_inverse(const complex32 *bins, fft320_frame *frame);

#endif
