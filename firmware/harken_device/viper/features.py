"""Speech features, as `firmware/native/core/speech_features.c` makes them (sources there)."""

import micropython
from micropython import const

from harken_device.audio.samples import copy
from harken_device.viper.buffers import HOP_BYTES, check_hop, check_room
from harken_device.viper.tables import tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _mpy_shed._mpy_builtins import ptr8, ptr16, ptr32

    from harken_device.viper.buffers import Buffer, Writable

FEATURES = const(40)
_WINDOW_BYTES = const(960)
# Where each table begins.
_FFT = const(480)
_SPLIT = const(864)
_WIDTHS = const(1120)
_WEIGHTS = const(1161)
_UNWEIGHTS = const(1397)
_GAIN = const(1633)
_LOG = const(1758)
_FIRST_BIN = const(5)


@micropython.viper
def _load(bins: ptr16, pcm: ptr16, table: ptr16) -> int:
    """Window 480 samples in the order of the transform; return by how much they were shifted."""
    loudest = 0
    for n in range(512):
        pair = n >> 1
        slot = (pair & 3) << 6 | (pair & 12) << 2 | (pair >> 2 & 12) | pair >> 6
        value = 0
        if n < 480:
            value = (((int(pcm[n]) ^ 0x8000) - 0x8000) * int(table[n])) >> 12
        bins[slot << 1 | n & 1] = value
        value = -value if value < 0 else value
        # -32768 has no int16 opposite and stays negative in the reference.
        if value > loudest and value < 0x8000:
            loudest = value
    shift = 15
    while loudest:
        loudest >>= 1
        shift -= 1
    for n in range(512):
        bins[n] = int(bins[n]) << shift
    return shift


@micropython.viper
def _transform(bins: ptr16, table: ptr16):  # type: ignore[no-untyped-def]
    """256 complex values in place, radix 4."""
    span = 1
    while span < 256:
        for n in range(256):
            leg = n // span & 3
            r = (((int(bins[2 * n]) ^ 0x8000) - 0x8000) * 8191 + 0x4000) >> 15
            i = (((int(bins[2 * n + 1]) ^ 0x8000) - 0x8000) * 8191 + 0x4000) >> 15
            if leg:
                at = _FFT + 2 * leg * (n % span) * (64 // span)
                wr = (int(table[at]) ^ 0x8000) - 0x8000
                wi = (int(table[at + 1]) ^ 0x8000) - 0x8000
                scaled = (r * wr - i * wi + 0x4000) >> 15
                i = (r * wi + i * wr + 0x4000) >> 15
                r = scaled
            bins[2 * n] = r
            bins[2 * n + 1] = i
        for n in range(64):
            a = 2 * (n // span * 4 * span + n % span)
            b = a + 2 * span
            c = b + 2 * span
            d = c + 2 * span
            # The upper bits of sums do not come back into the lower 16, which are what is stored.
            even = int(bins[a]) + int(bins[c])
            odd = int(bins[a]) - int(bins[c])
            outer = int(bins[b]) + int(bins[d])
            cross = int(bins[b]) - int(bins[d])
            even_i = int(bins[a + 1]) + int(bins[c + 1])
            odd_i = int(bins[a + 1]) - int(bins[c + 1])
            outer_i = int(bins[b + 1]) + int(bins[d + 1])
            cross_i = int(bins[b + 1]) - int(bins[d + 1])
            bins[a] = even + outer
            bins[a + 1] = even_i + outer_i
            bins[b] = odd + cross_i
            bins[b + 1] = odd_i - cross
            bins[c] = even - outer
            bins[c + 1] = even_i - outer_i
            bins[d] = odd - cross_i
            bins[d + 1] = odd_i + cross
        span *= 4


@micropython.viper
def _measure(bins: ptr16, table: ptr16, energies: ptr32):  # type: ignore[no-untyped-def]
    """Energies of the bins 1 to 255 of 512 real samples."""
    for k in range(1, 129):
        m = 2 * (256 - k)
        low_r = (((int(bins[2 * k]) ^ 0x8000) - 0x8000) * 16383 + 0x4000) >> 15
        low_i = (((int(bins[2 * k + 1]) ^ 0x8000) - 0x8000) * 16383 + 0x4000) >> 15
        high_r = (((int(bins[m]) ^ 0x8000) - 0x8000) * 16383 + 0x4000) >> 15
        # The opposite of -32768 is itself.
        high_i = (((-int(bins[m + 1]) & 0xFFFF ^ 0x8000) - 0x8000) * 16383 + 0x4000) >> 15
        wr = (int(table[_SPLIT + 2 * k - 2]) ^ 0x8000) - 0x8000
        wi = (int(table[_SPLIT + 2 * k - 1]) ^ 0x8000) - 0x8000
        r = low_r - high_r
        i = low_i - high_i
        odd_r = (r * wr - i * wi + 0x4000) >> 15
        odd_i = (r * wi + i * wr + 0x4000) >> 15
        r = (low_r + high_r + odd_r) >> 1
        i = (low_i + high_i + odd_i) >> 1
        energies[k] = r * r + i * i
        r = (low_r + high_r - odd_r) >> 1
        i = (odd_i - low_i - high_i) >> 1
        energies[256 - k] = r * r + i * i


@micropython.viper
def _gather(energies: ptr32, table: ptr16, channels: ptr32, shift: int):  # type: ignore[no-untyped-def]
    """Mel bands of energies; what each channel holds is the root of its energy."""
    at = 0
    carried_high = 0
    carried_low = 0
    for band in range(41):
        # 64 bits as high * 2**16 + low.
        high = carried_high
        low = carried_low
        carried_high = 0
        carried_low = 0
        end = at + int(table[_WIDTHS + band])
        while at < end:
            energy = int(energies[_FIRST_BIN + at])
            weight = int(table[_WEIGHTS + at])
            part = weight * (energy & 0xFFFF)
            high += weight * (energy >> 16) + (part >> 16)
            low += part & 0xFFFF
            weight = int(table[_UNWEIGHTS + at])
            part = weight * (energy & 0xFFFF)
            carried_high += weight * (energy >> 16) + (part >> 16)
            carried_low += part & 0xFFFF
            at += 1
        if band == 0:
            continue
        high += low >> 16
        root = 0
        rest = 0
        for pair in range(23):
            bits = high >> (28 - 2 * pair) if pair < 15 else low >> (44 - 2 * pair)
            rest = rest << 2 | bits & 3
            root <<= 1
            if rest > root << 1:
                rest -= root << 1 | 1
                root += 1
        # Rounded, but for the largest root of 32 bits.
        if rest > root and (root != 0xFFFF or high > 0xFFFF):
            root += 1
        channels[band - 1] = root >> shift


@micropython.viper
def _reduce(channels: ptr32, noise: ptr16):  # type: ignore[no-untyped-def]
    """Follow the noise of each channel (32 bits as two halves) and take it away."""
    for c in range(40):
        signal = int(channels[c])
        smoothing = 983 if c & 1 else 409
        kept = 16384 - smoothing
        high = signal >> 6
        low = (signal & 63) << 10
        part = low * smoothing + int(noise[2 * c]) * kept
        mean = high * smoothing + int(noise[2 * c + 1]) * kept + (part >> 16)
        noise_low = (mean & 0x3FFF) << 2 | (part >> 14 & 3)
        noise_high = mean >> 14
        noise[2 * c] = noise_low
        noise[2 * c + 1] = noise_high
        low -= noise_low
        high -= noise_high
        if low < 0:
            low += 0x10000
            high -= 1
        reduced = high << 6 | low >> 10 if high >= 0 else 0
        least = ((signal >> 6) * 819 + ((signal & 63) * 819 >> 6)) >> 8
        channels[c] = reduced if reduced > least else least


@micropython.viper
def _normalise(channels: ptr32, noise: ptr16, table: ptr16):  # type: ignore[no-untyped-def]
    """Give each channel a gain by its noise: one parabola an octave (PCAN)."""
    for c in range(40):
        low = int(noise[2 * c])
        high = int(noise[2 * c + 1])
        octave = 0
        bits = high if high else low
        while bits:
            bits >>= 1
            octave += 1
        if high:
            octave += 16
        if high == 0 and low <= 2:
            gain = int(table[_GAIN + low])
        else:
            curve = _GAIN + 4 * octave - 6
            level = high << 16 | low
            position = (level << (11 - octave) if octave < 11 else level >> (octave - 11)) & 0x3FF
            gain = (((int(table[curve + 2]) ^ 0x8000) - 0x8000) * position) >> 5
            gain += ((int(table[curve + 1]) ^ 0x8000) - 0x8000) << 5
            gain = ((gain * position + 0x4000) >> 15) + int(table[curve])
            gain = gain & 0xFFFF
        signal = int(channels[c])
        snr = (signal >> 6) * gain + ((signal & 63) * gain >> 6)
        channels[c] = snr * snr >> 20 if snr < 8192 else (snr >> 6) - 64


@micropython.viper
def _quantise(channels: ptr32, table: ptr16, row: ptr8):  # type: ignore[no-untyped-def]
    """64 ln(8 x) of each channel, in steps of 26/255 above -128."""
    for c in range(40):
        value = int(channels[c]) << 3
        feature = 0
        if value > 1:
            exponent = -1
            bits = value
            while bits:
                bits >>= 1
                exponent += 1
            fraction = value - (1 << exponent)
            fraction = fraction << (16 - exponent) if exponent < 16 else fraction >> (exponent - 16)
            segment = fraction >> 9
            base = int(table[_LOG + segment])
            rise = int(table[_LOG + segment + 1]) - base
            fraction += base + (rise * (fraction & 0x1FF) >> 16)
            # 45426 log2 / 2**16 to nearest, with the lower half of log2 in bytes.
            whole = exponent + (fraction >> 16)
            fraction &= 0xFFFF
            part = 45426 * (fraction >> 8) + ((45426 * (fraction & 0xFF) + 0x8000) >> 8)
            natural = 45426 * whole + (part >> 8)
            feature = ((natural << 6) + 0x8000) >> 16
        value = (feature * 2550 + 3328) // 6656 - 128
        row[c] = 127 if value > 127 else value


class Features:
    """The TensorFlow Lite Micro audio front end: 16 kHz, 30 ms window, 10 ms step, 40 channels."""

    def __init__(self) -> None:
        self._table = tables()
        self._window = bytearray(_WINDOW_BYTES)
        self._bins = bytearray(1024)
        self._energies = bytearray(1024)
        self._channels = bytearray(4 * FEATURES)
        self._noise = bytearray(4 * FEATURES)
        self._filled = 0

    def step(self, pcm: "Buffer", row: "Writable") -> int:
        """Take 160 samples; 1 where 40 int8 were written into `row`, 0 while the window fills.

        Raises:
            TypeError: `row` is read-only.
            ValueError: a buffer is too short.
        """
        check_hop(pcm)
        check_room(row, FEATURES, "the row is shorter than 40 features")
        window = self._window
        copy(window, self._filled, pcm, 0, HOP_BYTES)
        self._filled += HOP_BYTES
        if self._filled < _WINDOW_BYTES:
            return 0
        table, bins, channels = self._table, self._bins, self._channels
        shift = _load(bins, window, table)
        self._filled = _WINDOW_BYTES - HOP_BYTES
        copy(window, 0, window, HOP_BYTES, self._filled)
        _transform(bins, table)
        _measure(bins, table, self._energies)
        _gather(self._energies, table, channels, shift)
        _reduce(channels, self._noise)
        _normalise(channels, self._noise, table)
        _quantise(channels, table, row)
        return 1

    def reset(self) -> None:
        """Make it as new."""
        self._filled = 0
        for i in range(len(self._noise)):
            self._noise[i] = 0
