"""One xiaozhi device on one WebSocket."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import picows
from picows import WSCloseCode, WSMsgType

from harken.errors import MalformedError, ProtocolError, UnexpectedError, printable
from harken.links.inbox import Inbox
from harken.links.limits import RefusalLog
from harken.links.link import AudioFrame, Hello, LinkCounters
from harken.links.typed import TypedText
from harken.links.websocket_connection import CHECK_EVERY, WebSocketConnection
from harken.links.xiaozhi import agree, command_message, greeting, uplink_event
from harken.wire import binary, xiaozhi

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection

    from harken.links.limits import Limits
    from harken.links.link import Downlink, Receiver, Uplink
    from harken.links.xiaozhi import Agreement

__all__ = ["WebSocketLink"]

_LOG = logging.getLogger(__name__)
_BINARY = WSMsgType.BINARY


class WebSocketLink(WebSocketConnection):
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

    __slots__ = (
        "_agreement",
        "_counters",
        "_deliver",
        "_header_version",
        "_inbox",
        "_on_gone",
        "_on_hello",
        "_refusals",
        "_sequence",
        "_session_id",
        "_typed",
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
        super().__init__(identity, limits)
        self._session_id = session_id
        self._header_version = header_version
        self._wake_words = wake_words
        self._on_hello = on_hello
        self._on_gone = on_gone
        self._counters = LinkCounters()
        self._inbox = Inbox(self._counters)
        self._refusals = RefusalLog(identity, self._counters)
        self._agreement: Agreement | None = None
        self._version: binary.Version = 1
        self._sequence = 0
        # Where audio goes; nowhere before hello and after the end.
        self._deliver: Callable[[AudioFrame], None] | None = None
        self._typed: TypedText | None = None

    # -- what the session sees ---------------------------------------------------------------

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
        if self._typed is not None:
            self._typed.told(command)
        self._send(command_message(command, self._session_id))

    # -- messages ----------------------------------------------------------------------------

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
                or self._unchecked > CHECK_EVERY
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
            self._broke()

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        """The connection is over."""
        super().on_ws_disconnected(transport)
        self._on_gone(self)

    def _binary(self, data: bytes, now: float) -> None:
        try:
            payload = binary.unpack(self._version, data)
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

    def _text(self, data: bytes, now: float) -> None:
        try:
            message = xiaozhi.decode(data)
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
        if event is None:
            return
        (self._emit if self._typed is None else self._typed.take)(event)

    def _emit(self, event: Uplink) -> None:
        if not self._inbox.put_event(event):
            self.cut("flood: more events than the session takes")

    def _emit_later(self, event: Uplink) -> None:
        try:
            self._emit(event)
        except Exception:
            self._broke()

    def _broke(self) -> None:
        _LOG.exception("a message of %s could not be handled", self._identity)
        self.cut("internal error", WSCloseCode.INTERNAL_ERROR)

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
        if self._agreement.harken is None and self._wake_words is not None:
            self._typed = TypedText(self._emit_later, lambda: self._sequence)
        self._send(greeting(self._agreement, self._session_id, "websocket"))
        self._on_hello(self)

    def _send(self, message: xiaozhi.DownMessage) -> None:
        self._send_text(xiaozhi.encode(message))

    def _finish(self, reason: str) -> None:
        super()._finish(reason)
        self._deliver = None
        if self._typed is not None:
            self._typed.close()
        self._inbox.close(reason)
