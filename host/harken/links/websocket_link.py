"""One xiaozhi device on one WebSocket."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from typing import TYPE_CHECKING, cast

import picows
from picows import WSCloseCode, WSMsgType

from harken.errors import LinkClosedError, MalformedError, ProtocolError, UnexpectedError, printable
from harken.links.inbox import Inbox
from harken.links.limits import RefusalLog, TokenBucket
from harken.links.link import AudioFrame, Hello, LinkCounters
from harken.links.xiaozhi import agree, command_message, greeting, uplink_event
from harken.wire import binary, xiaozhi

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection

    from picows.picows import WSCloseHandshake

    from harken.links.limits import Limits
    from harken.links.link import Downlink, Receiver, Uplink
    from harken.links.xiaozhi import Agreement

__all__ = ["WebSocketLink"]

_LOG = logging.getLogger(__name__)
_TEXT, _BINARY, _CLOSE = WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CLOSE
_CONTINUATION = WSMsgType.CONTINUATION
_CHECK_EVERY = 32
_CLOSE_WAIT_S = 1.0
_MAX_REASON = 120


class WebSocketLink(picows.WSListener):
    """A `Link` to one device; made by `WebSocketDoor`.

    Args:
        identity: of the device, safe to log.
        session_id: names the session to the device.
        header_version: `Protocol-Version` of the handshake.
        limits: what the device may do.
        wake_words: see `uplink_event`.
        on_hello: called once when the device has said hello and was answered.
        on_gone: called once when the connection is over.
    """

    # Thousands of links are read in turn: slots keep each one's state close together.
    __slots__ = (
        "_agreement",
        "_bucket",
        "_counters",
        "_deliver",
        "_ended",
        "_header_version",
        "_identity",
        "_inbox",
        "_limits",
        "_loop",
        "_on_gone",
        "_on_hello",
        "_outlet",
        "_parts",
        "_parts_kind",
        "_reason",
        "_refusals",
        "_sequence",
        "_session_id",
        "_timer",
        "_transport",
        "_unchecked",
        "_unread",
        "_version",
        "_wake_words",
    )

    def __init__(
        self,
        *,
        identity: str,
        session_id: str,
        header_version: str,
        limits: Limits,
        wake_words: Collection[str] | None,
        on_hello: Callable[[WebSocketLink], None],
        on_gone: Callable[[WebSocketLink], None],
    ) -> None:
        self._identity = identity
        self._session_id = session_id
        self._header_version = header_version
        self._limits = limits
        self._wake_words = wake_words
        self._on_hello = on_hello
        self._on_gone = on_gone
        self._loop = asyncio.get_running_loop()
        self._counters = LinkCounters()
        self._inbox = Inbox(self._counters)
        self._refusals = RefusalLog(identity, self._counters)
        self._bucket = TokenBucket(limits.messages_a_second, limits.message_burst, time.monotonic())
        self._unchecked = 0
        self._agreement: Agreement | None = None
        self._version: binary.Version = 1
        self._sequence = 0
        self._parts: bytearray | None = None
        self._parts_kind = _TEXT
        self._transport: picows.WSTransport | None = None
        # Where audio goes and leaves; none before hello, after the end, and while nobody reads.
        self._deliver: Callable[[AudioFrame], None] | None = None
        self._outlet: picows.WSTransport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._reason = ""
        self._ended = asyncio.Event()

    # -- what the session sees ---------------------------------------------------------------

    @property
    def identity(self) -> str:
        """The device's identity; safe to log."""
        return self._identity

    @property
    def session_id(self) -> str:
        """Names the session to the device."""
        return self._session_id

    @property
    def hello(self) -> Hello:
        """What the device said of itself."""
        return self._agreement.hello if self._agreement else Hello()

    @property
    def counters(self) -> LinkCounters:
        """What happened on this link so far."""
        return self._counters

    @property
    def gone(self) -> bool:
        """The connection is over."""
        return self._ended.is_set()

    def attach(self, receiver: Receiver) -> None:
        """Hand everything to `receiver` from now on, what is queued first."""
        self._inbox.attach(receiver)
        if self._deliver is not None:
            self._deliver = receiver.on_frame

    def frames(self) -> AsyncIterator[AudioFrame]:
        """Audio from the device until the link closes. One consumer."""
        return self._inbox.frames()

    def events(self) -> AsyncIterator[Uplink]:
        """Events from the device until the link closes. One consumer."""
        return self._inbox.events()

    def send_audio(self, packet: bytes, timestamp_ms: int) -> None:
        """Queue one Opus packet for the device; dropped and counted where it does not read.

        Raises:
            LinkClosedError: the link is closed.
        """
        outlet = self._outlet
        if outlet is None:
            self._open_transport()
            self._counters.dropped_down += 1
            return
        if self._version != 1:
            packet = binary.pack(self._version, packet, timestamp_ms)
        outlet.send(_BINARY, packet)
        self._counters.frames_down += 1

    def send(self, command: Downlink) -> None:
        """Queue a command for the device, in order with the audio.

        Raises:
            LinkClosedError: the link is closed.
        """
        self._send(command_message(command, self._session_id))

    async def close(self, reason: str = "") -> None:
        """Close the link; safe to call twice. `frames` and `events` then end."""
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

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        """A WebSocket frame: audio is taken here, everything else by a longer way."""
        # This is the hot path: thousands of frames a second. Everything unusual leaves it early.
        try:
            deliver = self._deliver
            size = frame.payload_size
            self._unchecked += 1 + (size >> 10)
            if (
                deliver is None
                or frame.msg_type is not _BINARY
                or self._unchecked > _CHECK_EVERY
                or self._version != 1
                or not 0 < size <= binary.MAX_PACKET
                or not frame.fin
                or frame.rsv1
                or self._parts is not None
            ):
                self._frame(transport, frame)
                return
            self._counters.frames_up += 1
            sequence = self._sequence
            self._sequence = sequence + 1
            deliver(AudioFrame(frame.get_payload_as_bytes(), sequence, 0, time.monotonic()))
        except Exception:
            _LOG.exception("a message of %s could not be handled", self._identity)
            self.cut("internal error", WSCloseCode.INTERNAL_ERROR)

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        """The connection is over."""
        self._finish(self._reason or _lost_because(transport))
        self._ended.set()
        _LOG.info("%s is gone: %s", self._identity, self._reason)
        self._on_gone(self)

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

    def _frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        kind = frame.msg_type
        if self._reason:
            if kind is _CLOSE:
                transport.disconnect()
            return
        now = time.monotonic()
        if self._unchecked > _CHECK_EVERY:
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

    def _binary(self, message: bytes, now: float) -> None:
        try:
            payload = binary.unpack(self._version, message)
            if payload.is_json:
                self._text(payload.data, now)
                return
            if self._deliver is None:
                raise UnexpectedError("audio before hello")
        except ProtocolError as error:
            self._refusals.refuse(error, now)
            return
        self._counters.frames_up += 1
        sequence = self._sequence
        self._sequence = sequence + 1
        self._deliver(AudioFrame(payload.data, sequence, payload.timestamp_ms, now))

    def _text(self, text: bytes, now: float) -> None:
        try:
            message = xiaozhi.decode(text)
            if self._agreement is None:
                self._greet(message)
                return
            if isinstance(message, xiaozhi.PingMessage):
                self._send(xiaozhi.PongMessage(self._session_id))
                return
            # Our own firmware says what it means: its every `detect` is a wake word.
            words = None if self._agreement.harken is not None else self._wake_words
            event = uplink_event(message, now, wake_words=words)
        except ProtocolError as error:
            self._refusals.refuse(error, now)
            return
        if event is not None and not self._inbox.put_event(event):
            self.cut("flood: more events than the session takes")

    def _greet(self, message: xiaozhi.UpMessage) -> None:
        if not isinstance(message, xiaozhi.HelloMessage):
            raise UnexpectedError("a message before hello")
        if message.transport != "websocket":
            raise MalformedError(f"a hello for {printable(message.transport, 40)!r}")
        self._cancel_timers()
        self._agreement = agree(message, self._header_version)
        self._version = self._agreement.version
        self._inbox.expect(self._agreement.hello.uplink_frame_ms)
        self._deliver = self._inbox.put_frame
        self._outlet = self._transport
        self._send(greeting(self._agreement, self._session_id, "websocket"))
        self._on_hello(self)

    # -- the connection ----------------------------------------------------------------------

    def _send(self, message: xiaozhi.DownMessage) -> None:
        transport = self._open_transport()
        waiting = transport.underlying_transport.get_write_buffer_size()
        if waiting > 4 * self._limits.unread_bytes:
            self.cut("the device does not read what it is sent")
            return
        transport.send(_TEXT, xiaozhi.encode(message))

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
        self._deliver = self._outlet = None
        self._inbox.close(reason)

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
