"""What waits to be sent: two seconds of audio, and the messages between it, in their order."""

from micropython import RingIO, const

LONGEST_PACKET = const(512)  # speech at 64 kbit/s and more

_HELD_MS = const(2000)
_SHORTEST_MS = const(20)  # packets, until the gateway has said which it wants
_RECORD = const(6)  # u16 length, u32 timestamp
BYTES = const(6656)  # two seconds at 24 kbit/s
_MOST_TEXTS = const(32)


class Uplink:
    """Packets and messages for the gateway, first in first out.

    When two seconds of audio wait, the oldest packet is dropped for each new one and counted.
    `put` and `take` allocate nothing.

    Args:
        ring: memory of at least `BYTES`. Somebody else may use it while no packet waits.

    Attributes:
        waiting: packets held.
        dropped: packets lost since the start.
        timestamp_ms: of the packet that `take` took.
    """

    def __init__(self, ring: RingIO) -> None:
        self._ring = ring
        self._record = bytearray(_RECORD)
        self._spill = bytearray(LONGEST_PACKET)
        self._most = _HELD_MS // _SHORTEST_MS
        self._put = 0  # packets ever put, modulo 2**28
        self._texts: list[tuple[int, str]] = []
        self.waiting = 0
        self.dropped = 0
        self.timestamp_ms = 0

    def configure(self, frame_ms: int) -> None:
        """Packets put from now on are so long."""
        self._most = _HELD_MS // frame_ms

    def put(self, packet: bytearray, length: int, timestamp_ms: int) -> None:
        """Hold `packet[:length]`."""
        if not 0 < length <= LONGEST_PACKET:
            return
        while self.waiting >= self._most or self._ring.any() + _RECORD + length > BYTES:
            self.take(self._spill)
            self.dropped += 1
        record = self._record
        record[0] = length & 255
        record[1] = length >> 8
        for i in range(4):
            record[2 + i] = timestamp_ms >> 8 * i & 255
        self._ring.write(record)
        self._ring.write(packet, 0, length)
        self.waiting += 1
        self._put = self._put + 1 & 0xFFFFFFF

    def take(self, into: "bytearray | memoryview") -> int:
        """Move the oldest packet to the start of `into`; its length, 0 where none waits."""
        if not self.waiting:
            return 0
        record = self._record
        self._ring.readinto(record)
        length = record[0] | record[1] << 8
        self.timestamp_ms = record[2] | record[3] << 8 | record[4] << 16 | (record[5] & 63) << 24
        self._ring.readinto(into, length)
        self.waiting -= 1
        return length

    def say(self, text: str, before_audio: bool = False) -> bool:
        """Hold a message behind, or before, the packets that wait now.

        Returns:
            False where 32 messages wait already, and this one is lost.
        """
        if len(self._texts) >= _MOST_TEXTS:
            return False
        place = self._put - self.waiting if before_audio else self._put
        self._texts.append((place & 0xFFFFFFF, text))
        return True

    def text_is_next(self) -> bool:
        """A message comes before the oldest packet."""
        if not self._texts:
            return False
        return (self._put - self._texts[0][0] & 0xFFFFFFF) >= self.waiting

    def next_text(self) -> str:
        """Take the oldest message; only where `text_is_next`."""
        return self._texts.pop(0)[1]

    def drop(self) -> None:
        """Forget the packets that wait; messages still go."""
        while self.take(self._spill):
            self.dropped += 1

    def clear(self) -> None:
        """Forget everything that waits."""
        while self.take(self._spill):
            pass
        self._texts = []
