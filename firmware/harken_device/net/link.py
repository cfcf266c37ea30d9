"""The device's connection to its gateway: asked for, opened, greeted, kept, opened again."""

import asyncio
from time import ticks_diff, ticks_ms

from micropython import const

from harken_device import __version__, protocol, watchdog
from harken_device.errors import DeviceError, NetError, ProtocolError, WebSocketError, printable
from harken_device.net import bootstrap
from harken_device.net.backoff import Backoff
from harken_device.net.frames import BINARY, TEXT
from harken_device.net.stream import Trust, deadline_in, left
from harken_device.net.uplink import LONGEST_PACKET, Uplink
from harken_device.net.websocket import HEADROOM, NOTHING, WebSocket

TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from typing import Protocol

    from board_face import Board
    from micropython import RingIO

    from harken_device.config import Config
    from harken_device.watchdog import Watchdog

    class Listener(Protocol):
        """Who is told what happens on the link."""

        def now(self) -> int:
            """The device's sample counter."""
            return 0

        def link_up(self, hello: protocol.ServerHello) -> None:
            """The gateway has greeted."""

        def link_down(self) -> None:
            """The connection is gone."""

        def message(self, message: protocol.Message) -> None:
            """A parsed message, after the hello."""

        def audio(self, buffer: bytearray, offset: int, length: int) -> None:
            """One Opus packet; the buffer is overwritten after the call."""


_WIFI_MS = const(15_000)
_CONNECT_MS = const(10_000)
_HELLO_MS = const(10_000)
_CLOSE_MS = const(1000)
_PING_MS = const(20_000)
_DEAD_MS = const(120_000)
_AWAKE_MS = const(2)
_ASLEEP_MS = const(10)
_RESTING_MS = const(20)
_FIRST_WAIT_MS = const(250)
_LONGEST_WAIT_MS = const(3000)  # a gateway that is back is found again within this
_SETTLED_MS = const(10_000)  # a connection that held so long was a good one
_MOST_MESSAGES = const(16)  # taken before other tasks get their turn
_MOST_REFUSED = const(64)  # on one connection; a gateway that sends so much nonsense is left


class Link:
    """One connection at a time, for as long as it is wanted.

    Args:
        hal: the board.
        config: where the gateway is, and whether the connection is kept between conversations.
        listener: is told what happens.
        dog: told that this loop turns.
        ring: memory in which packets for the gateway wait (`net/uplink.py`).

    Attributes:
        up: the gateway has greeted.
        session_id: what the gateway calls this session.
        frame_ms: what was last agreed; kept while down.
        refused: messages of the gateway that were wrong or unknown, on this connection.
        failures: connections that failed since the last one that was closed on purpose.
    """

    def __init__(
        self,
        hal: "Board",
        config: "Config",
        listener: "Listener",
        dog: "Watchdog",
        ring: "RingIO",
    ) -> None:
        self._hal = hal
        self._config = config
        self._listener = listener
        self._dog = dog
        self._trust = Trust(config.text("tls_ca"), config.flag("tls_verify"))
        self._backoff = Backoff(_FIRST_WAIT_MS, _LONGEST_WAIT_MS)
        self._up_since = ticks_ms()
        self._kept = config.text("connection") == "kept"
        self._wanted = self._kept
        self._hurry = False
        self._told = False  # the boot request was answered since the last failure
        self._socket: WebSocket | None = None
        self._framing = protocol.Framing(1)
        self._frame = bytearray(HEADROOM + protocol.LARGEST_HEADER + LONGEST_PACKET)
        self._body = memoryview(self._frame)
        self._report: protocol.PlayoutReport | None = None
        self._report_due = False
        self._pinged_at = ticks_ms()
        self.uplink = Uplink(ring)
        self.awake = False  # a conversation is under way: poll often
        self.up = False
        self.session_id = ""
        self.frame_ms = 60
        self.refused = 0
        self.failures = 0

    # ------------------------------------------------------------------ what the app asks

    def want(self) -> None:
        """Be connected, and if not, try at once."""
        self._wanted = True
        self._hurry = True

    def release(self) -> None:
        """The conversation is over: close, unless connections are kept."""
        self._wanted = self._kept

    def send(self, text: str, before_audio: bool = False) -> None:
        """Send a message behind, or before, the audio that waits."""
        if not self.uplink.say(text, before_audio):
            self._hal.log("link: too much to say, message lost")

    def report_playout(self, played_ms: int, buffered_ms: int, late: int) -> None:
        """Send a playout report soon, without allocation; a newer one replaces one that waits."""
        socket = self._socket
        if self.up and self._report is not None and socket is not None and socket.ready():
            self._report.fill(played_ms, buffered_ms, late)
            self._report_due = True

    # ------------------------------------------------------------------ connecting

    async def run(self) -> None:
        """Keep the connection for ever."""
        while True:
            self._dog.beat(watchdog.NETWORK)
            if not self._wanted:
                await asyncio.sleep_ms(_RESTING_MS)
                continue
            self._hurry = False
            code = 1000
            try:
                await self._converse()
            except (DeviceError, OSError, MemoryError) as error:
                code = error.code if isinstance(error, WebSocketError) else 1002
                self.failures += 1
                self._hal.log("link: " + printable(str(error) or repr(error)))
                if not self.up:
                    self._told = False
                elif ticks_diff(ticks_ms(), self._up_since) > _SETTLED_MS:
                    self._backoff.reset()
            self._drop(code)
            if self._wanted and self.failures:
                await self._pause(self._backoff.next_ms())

    async def _converse(self) -> None:
        """Connect and serve until the connection is no longer wanted."""
        await self._join()
        await self._boot()
        await self._open()
        while self._wanted:
            self._dog.beat(watchdog.NETWORK)
            self._serve()
            await asyncio.sleep_ms(_AWAKE_MS if self.awake else _ASLEEP_MS)
        if self._socket is not None:
            await self._socket.shut(deadline_in(_CLOSE_MS))
        self._backoff.reset()
        self.failures = 0

    def _drop(self, code: int) -> None:
        was_up = self.up
        self.up = False
        self._report = None
        if self._socket is not None:
            self._socket.close(code)
            self._socket = None
        if was_up:
            self.uplink.clear()
            self._listener.link_down()

    async def _pause(self, milliseconds: int) -> None:
        deadline = deadline_in(milliseconds)
        while left(deadline) > 0 and not self._hurry:
            self._dog.beat(watchdog.NETWORK)
            await asyncio.sleep_ms(_RESTING_MS)

    async def _join(self) -> None:
        wifi = self._hal.wifi
        if wifi.up():
            return
        wifi.connect()
        deadline = deadline_in(_WIFI_MS)
        while not wifi.up():
            self._dog.beat(watchdog.NETWORK)
            if left(deadline) <= 0:
                wifi.disconnect()
                raise NetError("no Wi-Fi: is it in reach, and is its password right?")
            await asyncio.sleep_ms(_RESTING_MS)

    async def _boot(self) -> None:
        """Ask where to connect, unless that is known and worked."""
        config = self._config
        url = config.text("ota_url")
        if self._told or not url:
            return
        try:
            answer = await bootstrap.ask(self._hal, url, config.text("language"), self._trust)
        except NetError as error:
            if not config.text("websocket_url"):
                raise
            self._hal.log("link: " + printable(str(error)) + "; using the last known address")
            self._dog.beat(watchdog.NETWORK)
            return
        self._told = True
        self._dog.beat(watchdog.NETWORK)
        if answer.firmware not in ("", __version__):
            self._hal.log("link: firmware " + printable(answer.firmware) + " is offered")
        if answer.unix_ms:
            self._hal.clock.set(answer.unix_ms)
        if answer.activation:
            self._hal.log("link: activation code " + printable(answer.activation))
        if answer.websocket is not None:
            self._remember(answer.websocket)

    def _remember(self, websocket: "tuple[str, str, int]") -> None:
        config = self._config
        changed = False
        for name, value in zip(("url", "token", "version"), websocket):
            changed = config.set("websocket_" + name, value) or changed
        if changed:
            try:
                config.save()
            except OSError as error:
                self._hal.log("link: cannot save the address: %s" % error)

    async def _open(self) -> None:
        config = self._config
        url = config.text("websocket_url")
        if not url:
            raise NetError("no gateway is known: set ota_url or websocket_url")
        version = config.number("websocket_version")
        self._frame_for(version)
        headers = [
            ("Protocol-Version", str(version)),
            ("Device-Id", self._hal.identity.mac()),
            ("Client-Id", self._hal.identity.client_id()),
        ]
        token = config.text("websocket_token")
        if token:
            headers.append(("Authorization", token if " " in token else "Bearer " + token))
        socket = self._socket = WebSocket()
        await socket.open(url, headers, self._trust, deadline_in(_CONNECT_MS))
        self._dog.beat(watchdog.NETWORK)
        socket.send_text(protocol.hello(version, self._listener.now()))
        hello = await self._greeting(socket, deadline_in(_HELLO_MS))
        self.session_id = hello.session_id
        self.frame_ms = hello.frame_ms
        self.uplink.configure(hello.frame_ms)
        if "playout" in hello.features:
            self._report = protocol.PlayoutReport(hello.session_id, HEADROOM)
        self._report_due = False
        self._pinged_at = self._up_since = ticks_ms()
        self.refused = 0
        self.up = True
        self._listener.link_up(hello)

    def _frame_for(self, version: int) -> None:
        self._framing = protocol.Framing(version)
        self._body = memoryview(self._frame)[HEADROOM + self._framing.header :]

    async def _greeting(self, socket: WebSocket, deadline: int) -> protocol.ServerHello:
        while True:
            kind = socket.poll()
            if kind == TEXT:
                message = protocol.parse(socket.text)
                if message["type"] == "hello":
                    return protocol.ServerHello(message)
            if left(deadline) <= 0:
                raise NetError("the gateway does not say hello")
            self._dog.beat(watchdog.NETWORK)
            await asyncio.sleep_ms(_AWAKE_MS)

    # ------------------------------------------------------------------ serving

    def _serve(self) -> None:
        """Take what came, send what waits."""
        socket = self._socket
        assert socket is not None
        for _ in range(_MOST_MESSAGES):
            kind = socket.poll()
            if kind == NOTHING:
                break
            self._take(kind, socket)
        self._send_on(socket)
        if not self._hal.wifi.up():
            raise NetError("the Wi-Fi is gone")
        now = ticks_ms()
        silent = ticks_diff(now, socket.heard_at)
        if silent > _DEAD_MS:
            raise NetError("the gateway has been silent for two minutes")
        if silent > _PING_MS and ticks_diff(now, self._pinged_at) > _PING_MS:
            self._pinged_at = now
            socket.ping()

    def _take(self, kind: int, socket: WebSocket) -> None:
        try:
            if kind == TEXT:
                self._listener.message(protocol.parse(socket.text))
                return
            framing = self._framing
            framing.unpack(socket.payload, socket.length)
            if framing.is_text:
                end = framing.offset + framing.length
                self._listener.message(protocol.parse(bytes(socket.payload[framing.offset : end])))
            else:
                self._listener.audio(socket.payload, framing.offset, framing.length)
        except ProtocolError as error:
            self.refused += 1
            if self.refused >= _MOST_REFUSED:
                raise WebSocketError("the gateway does not speak this protocol", 1002)
            self._hal.log("link: refused " + printable(str(error)))

    def _send_on(self, socket: WebSocket) -> None:
        uplink = self.uplink
        while socket.ready():
            if self._report_due and self._report is not None:
                self._report_due = False
                socket.send(TEXT, self._report.buffer, HEADROOM, self._report.length)
            elif uplink.text_is_next():
                socket.send_text(uplink.next_text())
            elif uplink.waiting:
                self._send_packet(socket)
            else:
                return

    def _send_packet(self, socket: WebSocket) -> None:
        framing = self._framing
        length = self.uplink.take(self._body)
        start = HEADROOM + framing.header
        at = framing.pack(self._frame, start, length, self.uplink.timestamp_ms)
        socket.send(BINARY, self._frame, at, length + framing.header)
