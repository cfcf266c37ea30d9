"""What a board without our C does to its microphone: gain and limiter, and no more.

An echo canceller takes ten times what viper leaves of such a processor. The calls are those of
`harken_core.Cleaner`, so that the firmware need not know; what is not there reports nothing.
"""

from micropython import const

from harken_device.audio.samples import copy
from harken_device.viper.buffers import HOP_BYTES, check_hop, check_out
from harken_device.viper.gain import Gain
from harken_device.viper.vad import Vad

TYPE_CHECKING = False
if TYPE_CHECKING:
    from harken_device.viper.buffers import Buffer, Writable

_GAIN = const(16)
_ALL = const(31)
_LIMITED = const(8)


class Cleaner:
    """Gain and limiter, steered by the energy of speech over the noise."""

    def __init__(self) -> None:
        self._parts = _ALL
        self._vad = Vad()
        self._gain = Gain()

    def step(
        self,
        mic: "Buffer",
        reference: "Buffer | None",
        out: "Writable",
        linear: "Writable | None",
    ) -> int:
        """Take 160 samples; write them with gain into `out`, as they are into `linear`.

        Returns:
            Bit 3 where the limiter worked.

        Raises:
            TypeError: a buffer to write into is read-only.
            ValueError: a buffer is too short.
        """
        check_hop(mic)
        if reference is not None:
            check_hop(reference)  # its echo stays
        check_out(out)
        if linear is not None:
            check_out(linear)
            copy(linear, 0, mic, 0, HOP_BYTES)
        speech = self._vad.step(mic, -1) & 1
        if not self._parts & _GAIN:
            copy(out, 0, mic, 0, HOP_BYTES)
            return 0
        noise_db = min(self._vad.floor_db(), 0)
        return _LIMITED if self._gain.step(mic, speech, noise_db, out) else 0

    def switch(self, parts: int) -> None:
        """Switch on the parts of a sum of 1 to 16; of them, only 16, gain, is there.

        Raises:
            ValueError: it is no such sum.
        """
        if not 0 <= parts <= _ALL:
            raise ValueError("parts must be a sum of 1, 2, 4, 8, 16")
        if parts & ~self._parts & _GAIN:
            self._gain.reset()
        self._parts = parts

    def gains(self, gains: "Buffer | None") -> None:
        """Take a noise model's gains, of which nothing is done here.

        Raises:
            ValueError: there are fewer than 40.
        """
        if gains is not None and len(gains) < 40:
            raise ValueError("there must be 40 gains")

    def reset(self) -> None:
        """Forget the sound; what `switch` set stays."""
        self._vad.reset()
        self._gain.reset()

    def erle_db(self) -> int:
        """No echo is taken away."""
        return 0

    def delay_ms(self) -> int:
        """No echo is looked for."""
        return 0

    def noise_db(self) -> int:
        """The noise at the microphone, in dB of full scale, in the band of voices."""
        return self._vad.floor_db()

    def gain_db(self) -> int:
        """The gain reached."""
        return self._gain.gain_db() if self._parts & _GAIN else 0
