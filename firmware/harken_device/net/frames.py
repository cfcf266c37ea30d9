"""The frames of a WebSocket server (RFC 6455 section 5.2), put together to messages.

Binary messages in one frame of up to 1,024 bytes are taken without heap allocation.
"""

from time import ticks_diff, ticks_ms

from micropython import RingIO, const

from harken_device.errors import WebSocketError

TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from harken_device.net.stream import Stream

CONTINUATION = const(0)
TEXT = const(1)
BINARY = const(2)
CLOSE = const(8)
PING = const(9)
PONG = const(10)
MORE = const(-1)  # bytes are missing
AGAIN = const(-2)  # a part was taken that is no message

LARGEST_BINARY = const(4096)
LARGEST_TEXT = const(16_384)
LARGEST_CONTROL = const(125)
_LARGEST_WHOLE = const(1024)  # a message up to this is taken without allocation


class Frames:
    """What a server sends, taken apart.

    Attributes:
        payload: where the last binary message or control frame lies.
        length: bytes of it.
        text: the last text message.
    """

    def __init__(self) -> None:
        self._ring = RingIO(_LARGEST_WHOLE)
        self._chunk = bytearray(_LARGEST_WHOLE)
        self.payload = self._chunk
        self.length = 0
        self.text = ""
        # The frame whose payload is awaited, and the message it continues.
        self._head = bytearray(2)
        self._in_payload = False
        self._wide = False  # the two bytes awaited are an extended length
        self._opcode = 0
        self._final = False
        self._length = 0  # bytes of its payload that are still to come
        self._whole = False  # the payload is taken in one piece
        self._message = 0  # kind of the message that the frame is part of
        self._parts = bytearray()
        self._began = ticks_ms()

    def fill(self, stream: "Stream") -> int:
        """Take what has come, as far as there is room; bytes, 0 for none, -1 at the end.

        Raises:
            NetError: the connection broke.
        """
        count = stream.readinto(self._chunk, _LARGEST_WHOLE - self._ring.any())
        if count > 0:
            self._ring.write(self._chunk, 0, count)
        return count

    def stalled(self, patience_ms: int) -> bool:
        """Whether what has begun should have been complete by now."""
        return self._amid() and ticks_diff(ticks_ms(), self._began) > patience_ms

    def _amid(self) -> bool:
        return self._in_payload or self._wide or self._ring.any() > 0

    def step(self) -> int:
        """Go on by one header or payload.

        Returns:
            `TEXT`, `BINARY`, `CLOSE`, `PING` or `PONG` where one is complete, `AGAIN` where it was
            but a part, `MORE` where its bytes have not come yet.

        Raises:
            WebSocketError: the server breaks the protocol; `code` is what to tell it.
        """
        if self._in_payload:
            return self._take_payload()
        if self._ring.any() < 2:
            if not self._amid():
                self._began = ticks_ms()
            return MORE
        self._ring.readinto(self._head, 2)
        if self._wide:
            self._wide = False
            self._length = self._head[0] << 8 | self._head[1]
            if self._length < 126:
                raise WebSocketError("a length in more bytes than it needs", 1002)
        else:
            self._open_frame(self._head[0], self._head[1])
            if self._wide:
                return AGAIN
        self._weigh()
        self._in_payload = True
        return self._take_payload()

    def _open_frame(self, first: int, second: int) -> None:
        opcode = first & 15
        self._final = first >= 128
        if first & 0x70:
            raise WebSocketError("reserved bits are set", 1002)
        if second & 128:
            raise WebSocketError("a server must not mask", 1002)
        if opcode >= CLOSE:
            if opcode > PONG or not self._final or second > LARGEST_CONTROL:
                raise WebSocketError("a control frame that is none", 1002)
        elif opcode > BINARY or (opcode == CONTINUATION) == (self._message == 0):
            raise WebSocketError("a frame out of order", 1002)
        if second == 127:
            raise WebSocketError("a message is too big", 1009)
        self._opcode = opcode
        self._wide = second == 126
        self._length = second

    def _weigh(self) -> None:
        """Decide how the payload is taken, and whether it may be that long."""
        self._whole = self._opcode >= CLOSE or (
            self._final and self._opcode != CONTINUATION and self._length <= _LARGEST_WHOLE
        )
        if self._opcode >= CLOSE:
            return
        if self._opcode != CONTINUATION:
            self._message = self._opcode
        largest = LARGEST_TEXT if self._message == TEXT else LARGEST_BINARY
        if self._length + len(self._parts) > largest:
            raise WebSocketError("a message is too big", 1009)

    def _take_payload(self) -> int:
        if not self._whole:
            return self._take_part()
        if self._ring.any() < self._length:
            return MORE
        if self._length:
            self._ring.readinto(self._chunk, self._length)
        self._in_payload = False
        self._began = ticks_ms()
        self.length = self._length
        if self._opcode >= CLOSE:
            self.payload = self._chunk
            return self._opcode
        return self._finish(self._chunk)

    def _take_part(self) -> int:
        """A long message, or a fragment: gathered in memory that is allocated for it."""
        count = min(self._ring.any(), self._length)
        if count:
            self._ring.readinto(self._chunk, count)
            self._parts.extend(memoryview(self._chunk)[:count])
            self._length -= count
        if self._length:
            return MORE
        self._in_payload = False
        if not self._final:
            return AGAIN
        parts = self._parts
        self._parts = bytearray()
        self.length = len(parts)
        return self._finish(parts)

    def _finish(self, buffer: bytearray) -> int:
        kind = self._message
        self._message = 0
        self.payload = buffer
        if kind == TEXT:
            try:
                self.text = str(memoryview(buffer)[: self.length], "utf-8")
            except UnicodeError:
                raise WebSocketError("a text that is not UTF-8", 1007)
        return kind
