"""A WebSocket client (RFC 6455) for a device.

Nothing here waits once it is open: `poll` takes what the network has, `send` hands over what it
takes. Binary messages in one frame of up to 1,024 bytes, and everything that is sent, go through
without heap allocation.
"""

import os
from time import ticks_diff, ticks_ms

from micropython import const

from harken_device.core import mask
from harken_device.errors import NetError, WebSocketError
from harken_device.net import http
from harken_device.net.frames import (
    BINARY,
    CLOSE,
    LARGEST_CONTROL,
    MORE,
    PING,
    PONG,
    TEXT,
    Frames,
)
from harken_device.net.masking import Keys
from harken_device.net.stream import Address, Stream, Trust, left

NOTHING = const(0)
HEADROOM = const(8)  # bytes that `send` needs free before the payload

_PATIENCE_MS = const(10_000)
_MOST_FRAMES = const(32)  # that are no message, taken by one `poll`
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def _accept_of(key: bytes) -> str:
    import hashlib
    from binascii import b2a_base64

    digest = hashlib.sha1(key + _GUID).digest()  # noqa: S324 - RFC 6455 wants it
    return b2a_base64(digest).strip().decode()


class WebSocket:
    """One connection to a server.

    Args:
        patience_ms: for how long the server may stall within a message, and leave ours unread.

    Attributes:
        heard_at: `ticks_ms()` when bytes last came in.
    """

    def __init__(self, patience_ms: int = _PATIENCE_MS) -> None:
        self._patience_ms = patience_ms
        self._stream = Stream()
        self._keys = Keys()
        self._frames = Frames()
        self.heard_at = ticks_ms()
        # The frame under way, and the control frame that waits for it.
        self._out: bytearray | None = None
        self._out_at = 0
        self._out_left = 0
        self._out_since = 0
        self._control = bytearray(HEADROOM + LARGEST_CONTROL)
        self._control_length = 0
        self._control_opcode = 0
        self._live = False  # open, and no close frame sent

    @property
    def payload(self) -> bytearray:
        """Where `poll` left a binary message."""
        return self._frames.payload

    @property
    def length(self) -> int:
        """Bytes of `payload` that count."""
        return self._frames.length

    @property
    def text(self) -> str:
        """The text message that `poll` took."""
        return self._frames.text

    async def open(
        self, url: str, headers: "list[tuple[str, str]]", trust: Trust, deadline: int
    ) -> None:
        """Connect and upgrade.

        Args:
            url: `ws://` or `wss://`.
            headers: sent with the upgrade.
            trust: whom a `wss` connection believes.
            deadline: of `deadline_in`.

        Raises:
            NetError: no connection, or not in time.
            WebSocketError: the server does not upgrade; `code` is the HTTP status.
        """
        from binascii import b2a_base64

        address = Address(url)
        await self._stream.open(address, trust, deadline)
        key = b2a_base64(os.urandom(16)).strip()
        own = [
            ("Host", address.authority),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", key.decode()),
            ("Sec-WebSocket-Version", "13"),
        ]
        request = http.head("GET " + address.path + " HTTP/1.1", own + headers)
        await self._stream.write_all(request, deadline)
        status, answer = await http.read_head(self._stream, deadline)
        if status != 101:
            raise WebSocketError("the gateway answers %d instead of upgrading" % status, status)
        if answer.get("upgrade", "").lower() != "websocket" or answer.get(
            "sec-websocket-accept"
        ) != _accept_of(key):
            raise WebSocketError("the upgrade is not a WebSocket's", 1002)
        self.heard_at = ticks_ms()
        self._live = True

    # ------------------------------------------------------------------ receiving

    def poll(self) -> int:
        """Take one message, if one is complete: `TEXT`, `BINARY` or `NOTHING`.

        Also sends on what waits. Call it until it returns `NOTHING`.

        Raises:
            WebSocketError: the connection is closed, broken or breaks the protocol. A close frame
                that says why has been handed to the network; nothing but `close` may follow.
        """
        try:
            self.flush()
            return self._next()
        except WebSocketError as error:
            self._tell(error.code)
            raise
        except NetError as error:
            raise WebSocketError(str(error))

    def _next(self) -> int:
        frames = 0
        while frames < _MOST_FRAMES:
            kind = self._frames.step()
            if TEXT <= kind <= BINARY:
                return kind
            if kind >= CLOSE:
                self._obey(kind)
            if kind != MORE:
                frames += 1
            elif not self._fill():
                break
        return NOTHING

    def _fill(self) -> bool:
        count = self._frames.fill(self._stream)
        if count > 0:
            self.heard_at = ticks_ms()
            return True
        if count < 0:
            raise WebSocketError("the gateway hung up without a close")
        if self._frames.stalled(self._patience_ms):
            raise WebSocketError("the gateway stalls within a message", 1008)
        return False

    def _obey(self, opcode: int) -> None:
        """A control frame has come."""
        payload, length = self._frames.payload, self._frames.length
        if opcode == CLOSE:
            code = payload[0] << 8 | payload[1] if length >= 2 else 1005
            raise WebSocketError("the gateway closed: %d" % code, code)
        # Of several pings the last is answered (RFC 6455 section 5.5.3); a close goes before.
        if opcode == PING and self._control_opcode != CLOSE:
            for i in range(length):
                self._control[HEADROOM + i] = payload[i]
            self._control_length = length
            self._control_opcode = PONG

    # ------------------------------------------------------------------ sending

    def ready(self) -> bool:
        """`send` may be called: nothing is under way."""
        return self._out is None and not self._control_opcode and self._live

    def send(self, opcode: int, buffer: bytearray, start: int, length: int) -> None:
        """Send one message in one frame; only while `ready()`.

        Args:
            opcode: `TEXT` or `BINARY`.
            buffer: masked in place and read from until `ready()` again.
            start: where the payload begins, at least `HEADROOM`.
            length: bytes of payload, at most 65,535.

        Raises:
            WebSocketError: the connection broke.
        """
        try:
            self._begin(opcode, buffer, start, length)
            self.flush()
        except WebSocketError:
            raise
        except NetError as error:
            raise WebSocketError(str(error))

    def send_text(self, text: str) -> None:
        """Send a text message; only while `ready()`. Allocates.

        Raises:
            WebSocketError: the connection broke.
        """
        frame = bytearray(HEADROOM) + text.encode()
        self.send(TEXT, frame, HEADROOM, len(frame) - HEADROOM)

    def ping(self) -> None:
        """Ask for a sign of life."""
        if not self._control_opcode:
            self._control_length = 0
            self._control_opcode = PING

    def _begin(self, opcode: int, buffer: bytearray, start: int, length: int) -> None:
        key = self._keys.fresh()
        mask(buffer, start, length, key)
        for i in range(4):
            buffer[start - 4 + i] = key[i]
        at = start - 6
        if length < 126:
            buffer[at + 1] = 128 | length
        else:
            buffer[at] = length >> 8
            buffer[at + 1] = length & 255
            at -= 2
            buffer[at + 1] = 128 | 126
        buffer[at] = 128 | opcode
        self._out = buffer
        self._out_at = at
        self._out_left = start + length - at
        self._out_since = ticks_ms()

    def flush(self) -> None:
        """Send on what is under way, then a waiting control frame.

        Raises:
            NetError: the connection broke.
            WebSocketError: the gateway has not read for too long.
        """
        while True:
            if self._out is None:
                if not self._control_opcode:
                    return
                opcode, self._control_opcode = self._control_opcode, 0
                self._begin(opcode, self._control, HEADROOM, self._control_length)
                continue
            count = self._stream.write(self._out, self._out_at, self._out_left)
            self._out_at += count
            self._out_left -= count
            if self._out_left:
                if ticks_diff(ticks_ms(), self._out_since) > self._patience_ms:
                    raise WebSocketError("the gateway does not read", 1008)
                return
            self._out = None

    def _tell(self, code: int) -> None:
        """Say why this ends, as far as the network takes it at once."""
        if not self._live:
            return
        self._live = False
        # 1005 and 1006 mean that no code was sent and must not be sent (section 7.4.1).
        plain = code if 1000 <= code < 5000 and code not in (1005, 1006) else 1000
        self._control[HEADROOM] = plain >> 8
        self._control[HEADROOM + 1] = plain & 255
        self._control_length = 2
        self._control_opcode = CLOSE
        try:
            self.flush()
        except NetError:
            pass

    async def shut(self, deadline: int) -> None:
        """Close in order: say so, and give the gateway until `deadline` to answer."""
        import asyncio

        self._tell(1000)
        try:
            while left(deadline) > 0:
                self.poll()
                await asyncio.sleep_ms(5)
        except WebSocketError:
            pass
        self.close()

    def close(self, code: int = 1000) -> None:
        """Close at once, saying why as far as the network takes it; safe to call twice."""
        self._tell(code)
        self._stream.close()
