"""The microphone's recent past, and the Opus packets that are made of it.

The ring is what lets the words right after the wake word reach the gateway: when listening
begins, encoding begins a little earlier, and catches up by one packet a hop.
"""

from harken_opus import Encoder
from micropython import const

from harken_device.audio.samples import copy_words

_RATE = const(16_000)
_BLOCK_BYTES = const(320)
_BLOCK_WORDS = const(80)
_RING_BLOCKS = const(36)  # a multiple of every frame length, so that no frame wraps
_CLOCK_MS = const(0x3FFFFFFF)  # the bits of a timestamp: a small integer on chips of 32 bits
_BITRATE = const(24_000)
_COMPLEXITY = const(0)
LARGEST_PACKET = const(400)


class Uplink:
    """A ring of 360 ms of microphone, and an encoder behind it.

    Args:
        delay_ms: how far what is written lies behind the microphone.

    Attributes:
        packet: the last packet, bytes [packet_length], until the next hop.
        packet_timestamp_ms: device time of its first sample, modulo 2**30.
    """

    def __init__(self, delay_ms: int = 0) -> None:
        self._encoder = Encoder(_RATE, _BITRATE, _COMPLEXITY)
        self._ring = memoryview(bytearray(_RING_BLOCKS * _BLOCK_BYTES))
        self._at = 0  # word at which the next block is written
        self._written = 0  # blocks in all, less whole rings that were forgotten
        self._ms = -delay_ms & _CLOCK_MS  # device time at the end of the last block's sound
        self._next = -1  # first block not yet encoded; -1: not listening
        self.packet = bytearray(LARGEST_PACKET)
        self.packet_length = 0
        self.packet_timestamp_ms = 0
        self.configure(20)

    def configure(self, frame_ms: int) -> None:
        """Set the length of packets.

        Raises:
            ValueError: not 20 or 60.
        """
        if frame_ms not in (20, 60):
            raise ValueError("frames of %r ms" % (frame_ms,))
        blocks = frame_ms // 10
        size = blocks * _BLOCK_BYTES
        self._frame_blocks = blocks
        self._frames = [
            self._ring[i * size : (i + 1) * size] for i in range(_RING_BLOCKS // blocks)
        ]
        if self._next >= 0:
            self._next -= self._next % blocks

    def put(self, block: bytearray) -> None:
        """Take 160 samples. Allocates nothing."""
        copy_words(self._ring, self._at, block, 0, _BLOCK_WORDS)
        at = self._at + _BLOCK_WORDS
        self._at = at if at < _RING_BLOCKS * _BLOCK_WORDS else 0
        self._written += 1
        self._ms = self._ms + 10 & _CLOCK_MS
        if self._next < 0 and self._written >= 2 * _RING_BLOCKS:
            self._written -= _RING_BLOCKS  # a count that grew for months would outgrow its memory

    def listen(self, preroll_ms: int) -> None:
        """Encode from at least `preroll_ms` ago (as far as the ring reaches) on."""
        blocks = self._frame_blocks
        # The block that is written next is no longer the past.
        reach = min(preroll_ms // 10, _RING_BLOCKS - 1 - blocks, self._written)
        start = self._written - reach
        self._next = start - start % blocks
        self._encoder.reset()

    def unlisten(self) -> None:
        """Stop; a packet that is not complete is thrown away."""
        self._next = -1

    @property
    def listening(self) -> bool:
        """Whether the microphone is being encoded."""
        return self._next >= 0

    def step(self) -> bool:
        """Encode one packet where one is complete; True then. Allocates nothing."""
        start = self._next
        blocks = self._frame_blocks
        if start < 0 or self._written - start < blocks:
            return False
        frame = self._frames[start % _RING_BLOCKS // blocks]
        self.packet_length = self._encoder.encode(frame, blocks * 160, self.packet)
        self.packet_timestamp_ms = self._ms - (self._written - start) * 10 & _CLOCK_MS
        self._next = start + blocks
        return True
