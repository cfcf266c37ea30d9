"""The jitter buffer: Opus packets in as they come, one block of loudspeaker samples out each 10 ms.

An answer is played once `target_ms` of it are there or it has ended. Where the buffer runs empty
in the middle, the decoder conceals for a while; then there is silence until the target is
reached again, and the target grows. An answer without such a gap shrinks it.
"""

from array import array

from harken_opus import Decoder, packet_samples
from micropython import RingIO, const

from harken_device.audio.samples import copy, silence
from harken_device.core import amplify

_RATE = const(16_000)
_BLOCK = const(160)
_MOST_PACKETS = const(60)
MOST_BYTES = const(7200)  # 2.4 s at 24 kbit/s
LARGEST_PACKET = const(400)
_LARGEST_FRAME = const(960)  # 60 ms
_LONGEST_CONCEALMENT = const(1600)  # samples; after 100 ms a guess is worse than silence
_TARGET_MS = (60, 240)
_TARGET_UP_MS = const(40)
_TARGET_DOWN_MS = const(20)
_FULL_GAIN = const(32_768)

_IDLE = const(0)
_FILLING = const(1)
_PLAYING = const(2)
_DRAINING = const(3)


class Playout:
    """The answer that is being played.

    Attributes:
        played_ms: of the answer's own audio that the loudspeaker has really played.
        late: frames that were not there when their time came.
        drained: the last block has told that the whole answer is played.
        target_ms: how much is gathered before playing.
        packets: memory of what waits to be played; lent to the user's own packets outside answers.
    """

    def __init__(self) -> None:
        self._decoder = Decoder(_RATE)
        self.packets = RingIO(MOST_BYTES)
        self._packet = bytearray(LARGEST_PACKET)
        self._lengths = array("H", bytes(2 * _MOST_PACKETS))
        self._samples = array("H", bytes(2 * _MOST_PACKETS))
        self._pcm = bytearray(2 * _LARGEST_FRAME)
        self._full = _FULL_GAIN
        self._gain = _FULL_GAIN
        self.target_ms = _TARGET_MS[0]
        self.played_ms = 0
        self.late = 0
        self._forget()

    def _forget(self) -> None:
        self._state = _IDLE
        while self.packets.any():
            self.packets.readinto(self._packet)
        self._first = 0
        self._count = 0
        self._waiting = 0  # samples in packets not yet decoded
        self._left = 0  # decoded samples not yet played, at the end of the decoded frame
        self._frame = 320  # samples in the last packet
        self._concealed = 0  # samples since the last real one
        self._ended = False
        self._starved = False
        self._guess = False
        self._on_its_way = 0  # blocks of the answer written but not yet heard, one bit each
        self.drained = False

    def begin(self) -> None:
        """A new answer; what is left of another is thrown away."""
        self._forget()
        self._decoder.reset()
        self._state = _FILLING
        self.played_ms = 0
        self.late = 0
        self._gain = self._full

    def packet(self, buffer: bytearray, offset: int, length: int) -> bool:
        """Take one Opus packet; False where it is refused. Allocates nothing for a good one.

        Refused are packets outside an answer, empty, larger than `LARGEST_PACKET`, not Opus, longer
        than 60 ms or not a multiple of 10 ms, and those for which there is no room.
        """
        if self._state == _IDLE or self._ended or self._count == _MOST_PACKETS:
            return False
        if length < 1 or length > LARGEST_PACKET or self.packets.any() + length > MOST_BYTES:
            return False
        packet = self._packet
        copy(packet, 0, buffer, offset, length)
        try:
            samples = packet_samples(packet, length, _RATE)
        except ValueError:
            return False
        if samples == 0 or samples > _LARGEST_FRAME or samples % _BLOCK:
            return False
        self.packets.write(packet, 0, length)
        slot = (self._first + self._count) % _MOST_PACKETS
        self._lengths[slot] = length
        self._samples[slot] = samples
        self._count += 1
        self._waiting += samples
        return True

    def end(self) -> None:
        """The answer is complete: play what is there."""
        self._ended = True

    def drop(self) -> None:
        """Silence from the next block on. What was played so far is still told."""
        on_its_way = self._on_its_way
        self._forget()
        self._on_its_way = on_its_way

    @property
    def playing(self) -> bool:
        """An answer is awaited, being played, or was dropped and is still on its way."""
        return self._state != _IDLE or self._on_its_way != 0

    @property
    def buffered_ms(self) -> int:
        """Received and not yet given to the loudspeaker."""
        return (self._waiting + self._left) // 16

    def loudness(self, volume: int) -> None:
        """Set the volume, 0..100; half of it sounds about half as loud."""
        self._full = volume * volume * _FULL_GAIN // 10_000

    def block(self, out: bytearray) -> int:
        """Write the next 160 samples into `out`. Allocates nothing.

        Returns:
            The first audible sample in it, or -1.
        """
        self.drained = False
        # Two blocks lie between writing and hearing.
        if self._on_its_way & 2:
            self.played_ms += 10
        self._on_its_way = self._on_its_way << 1 & 3
        if self._state == _FILLING and (self._ended or self.buffered_ms >= self.target_ms):
            self._state = _PLAYING
        if self._state == _PLAYING and self._left == 0:
            self._next_frame()
        if self._state != _PLAYING:
            silence(out, _BLOCK)
            if self._state == _DRAINING and self._on_its_way == 0:
                self._state = _IDLE
                self.drained = True
            return -1
        return self._write(out)

    def _write(self, out: bytearray) -> int:
        start = self._frame - self._left
        self._left -= _BLOCK
        # The gain moves within one block: after a change of volume, into and out of a gap.
        goal = self._full
        if self._guess and self._concealed >= _LONGEST_CONCEALMENT and self._left == 0:
            goal = 0
        first = amplify(self._pcm, start, self._gain, goal, out)
        self._gain = goal
        if not self._guess:
            self._on_its_way |= 1
        return first

    def _next_frame(self) -> None:
        if self._count:
            self._decode()
        elif self._ended:
            self._state = _DRAINING
            self._settle()
        elif self._concealed >= _LONGEST_CONCEALMENT:
            self._state = _FILLING
        else:
            self._conceal()

    def _decode(self) -> None:
        slot = self._first
        self._first = slot + 1 if slot + 1 < _MOST_PACKETS else 0
        self._count -= 1
        samples = self._samples[slot]
        self._waiting -= samples
        self._frame = self._left = samples
        self._concealed = 0
        self._guess = False
        length = self._lengths[slot]
        self.packets.readinto(self._packet, length)
        try:
            self._decoder.decode(self._packet, length, self._pcm, samples)
        except ValueError:  # a frame that looked like Opus and was not
            self._conceal()

    def _conceal(self) -> None:
        samples = self._frame
        self._decoder.decode(None, 0, self._pcm, samples)
        self._left = samples
        self._guess = True
        self._concealed += samples
        self.late += 1
        if not self._starved:
            self._starved = True
            self.target_ms = min(self.target_ms + _TARGET_UP_MS, _TARGET_MS[1])

    def _settle(self) -> None:
        if not self._starved:
            self.target_ms = max(self.target_ms - _TARGET_DOWN_MS, _TARGET_MS[0])
