"""One WebSocket of a device: whole messages up, bounded; an end that has a reason."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from typing import TYPE_CHECKING, cast

import picows
from picows import WSCloseCode, WSMsgType

from harken.errors import LinkClosedError, printable
from harken.links.limits import TokenBucket

if TYPE_CHECKING:
    from picows.picows import WSCloseHandshake

    from harken.links.limits import Limits

__all__ = ["CHECK_EVERY", "WebSocketConnection"]

_LOG = logging.getLogger(__name__)
_TEXT, _BINARY, _CLOSE = WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CLOSE
_CONTINUATION = WSMsgType.CONTINUATION
_CLOSE_WAIT_S = 1.0
_MAX_REASON = 120

CHECK_EVERY = 32
"""Messages between two looks at whether a device sends too many."""


class WebSocketConnection(picows.WSListener):
    """What is the same whatever a WebSocket carries: framing, floods, back pressure, the end.

    Who derives from it takes whole messages in `_text` and `_binary`, and opens `_outlet` once
    audio may leave.

    Args:
        identity: of the device, safe to log.
        limits: what the device may do.
    """

    # Thousands of connections are read in turn: slots keep each one's state close together.
    __slots__ = (
        "_bucket",
        "_ended",
        "_identity",
        "_limits",
        "_loop",
        "_outlet",
        "_parts",
        "_parts_kind",
        "_reason",
        "_timer",
        "_transport",
        "_unchecked",
        "_unread",
    )

    def __init__(self, identity: str, limits: Limits) -> None:
        self._identity = identity
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._bucket = TokenBucket(limits.messages_a_second, limits.message_burst, time.monotonic())
        self._unchecked = 0
        self._parts: bytearray | None = None
        self._parts_kind = _TEXT
        self._transport: picows.WSTransport | None = None
        # Where audio leaves; none before hello, after the end, and while the device does not read.
        self._outlet: picows.WSTransport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._reason = ""
        self._ended = asyncio.Event()

    @property
    def identity(self) -> str:
        """The device's identity; safe to log."""
        return self._identity

    @property
    def gone(self) -> bool:
        """The connection is over."""
        return self._ended.is_set()

    async def close(self, reason: str = "") -> None:
        """Close in an orderly way; safe to call twice."""
        self.cut(reason, WSCloseCode.OK)
        if self._transport is not None:
            await self._ended.wait()

    def cut(self, reason: str, code: WSCloseCode = WSCloseCode.POLICY_VIOLATION) -> None:
        """Close without waiting for the device to agree.

        Args:
            reason: told to the device and the session.
            code: of the WebSocket close frame.
        """
        transport = self._transport
        if self._reason or transport is None or self.gone:
            return
        self._finish(reason or "closed")
        transport.send_close(code, self._reason.encode()[:_MAX_REASON].decode(errors="ignore"))
        self._timer = self._loop.call_later(_CLOSE_WAIT_S, transport.disconnect, False)

    # -- what picows calls -------------------------------------------------------------------

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        """The handshake is over: hello must follow."""
        self._transport = transport
        raw = transport.underlying_transport
        raw.set_write_buffer_limits(self._limits.unread_bytes)
        connection = raw.get_extra_info("socket")
        # What a device leaves unread should be seen here, not swallowed by megabytes of kernel.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._limits.unread_bytes)
        self._timer = self._loop.call_later(
            self._limits.hello_s, self.cut, f"no hello within {self._limits.hello_s:g} s"
        )

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        """The connection is over."""
        self._finish(self._reason or _lost_because(transport))
        self._ended.set()
        _LOG.info("%s is gone: %s", self._identity, self._reason)

    def pause_writing(self) -> None:
        """The device reads too slowly, or not at all."""
        self._outlet = None
        if self._unread is None and not self._reason:
            self._unread = self._loop.call_later(
                self._limits.unread_s,
                self.cut,
                f"the device did not read for {self._limits.unread_s:g} s",
            )

    def resume_writing(self) -> None:
        """The device reads again."""
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
        if not self._reason:
            self._outlet = self._transport

    # -- messages ----------------------------------------------------------------------------

    def _text(self, data: bytes, now: float) -> None:
        """Take a whole message of text."""
        raise NotImplementedError

    def _binary(self, data: bytes, now: float) -> None:
        """Take a whole binary message."""
        raise NotImplementedError

    def _frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        """Take any frame, `_unchecked` having been raised by what it weighs."""
        kind = frame.msg_type
        if self._reason:
            if kind is _CLOSE:
                transport.disconnect()
            return
        now = time.monotonic()
        if self._unchecked > CHECK_EVERY:
            if not self._bucket.take(self._unchecked, now):
                self.cut("flood: too many messages in too short a time")
                return
            self._unchecked = 0
        if frame.rsv1 or frame.rsv2 or frame.rsv3:
            self.cut("a reserved bit is set", WSCloseCode.PROTOCOL_ERROR)
        elif kind is _CLOSE:
            self._closed_by_device(transport)
        elif kind is _BINARY and frame.fin and self._parts is None:
            self._binary(frame.get_payload_as_bytes(), now)
        elif kind in {_TEXT, _BINARY, _CONTINUATION}:
            self._assemble(kind, frame, now)

    def _assemble(self, kind: WSMsgType, frame: picows.WSFrame, now: float) -> None:
        """Text, and messages in several frames (RFC 6455 section 5.4)."""
        data = frame.get_payload_as_bytes()
        if (self._parts is None) is (kind is _CONTINUATION):
            self.cut("fragments out of order", WSCloseCode.PROTOCOL_ERROR)
            return
        if self._parts is None:
            if frame.fin:  # a whole binary message never comes here
                self._text(data, now)
                return
            self._parts, self._parts_kind = bytearray(), kind
        self._parts += data
        if len(self._parts) > self._limits.message_bytes:
            self.cut("a message too long", WSCloseCode.MESSAGE_TOO_BIG)
        elif frame.fin:
            data, self._parts = bytes(self._parts), None
            (self._text if self._parts_kind is _TEXT else self._binary)(data, now)

    def _send_text(self, data: bytes) -> None:
        """Send text; a device that left too much of it unread is cut off.

        Raises:
            LinkClosedError: the connection is closed.
        """
        transport = self._open_transport()
        waiting = transport.underlying_transport.get_write_buffer_size()
        if waiting > 4 * self._limits.unread_bytes:
            self.cut("the device does not read what it is sent")
            return
        transport.send(_TEXT, data)

    # -- the end -----------------------------------------------------------------------------

    def _open_transport(self) -> picows.WSTransport:
        if self._reason or self._transport is None or self.gone:
            raise LinkClosedError(f"the link to {self._identity} is closed: {self._reason}")
        return self._transport

    def _closed_by_device(self, transport: picows.WSTransport) -> None:
        self._finish(_lost_because(transport))
        transport.send_close(WSCloseCode.OK)
        transport.disconnect()
        self._timer = self._loop.call_later(_CLOSE_WAIT_S, transport.disconnect, False)

    def _finish(self, reason: str) -> None:
        """Nothing goes up or down any more."""
        self._cancel_timers()
        self._reason = reason
        self._outlet = None

    def _cancel_timers(self) -> None:
        for timer in (self._timer, self._unread):
            if timer is not None:
                timer.cancel()
        self._timer = self._unread = None


def _lost_because(transport: picows.WSTransport) -> str:
    shake = cast("WSCloseHandshake | None", transport.close_handshake)
    if shake is None:
        return "the connection broke"
    if shake.recv is not None:
        said = printable(shake.recv.reason or "no reason given", 80)
        return f"closed by the device: {said}"
    return (shake.sent.reason if shake.sent else "") or "the connection broke"
