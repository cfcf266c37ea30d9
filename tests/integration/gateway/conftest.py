"""A gateway on a free port, an agent that echoes, and a device that a test plays by hand."""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import websockets

from harken.agents import agent as said
from harken.audio.opus import Decoder, Encoder
from harken.config.settings import SessionSettings
from harken.errors import AgentError, AuthError
from harken.links.websocket import Limits, WebSocketDoor
from harken.session.session import Session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from harken.links.link import Link
    from harken.session.timeline import TurnRecord

RATE = 16_000


def tone(ms: int, hz: float = 440.0, rate: int = RATE) -> bytes:
    """Half-scale sine, int16 [rate * ms / 1000]."""
    at = np.arange(rate * ms // 1000) / rate
    return (16_000 * np.sin(2 * np.pi * hz * at)).astype(np.int16).tobytes()


class EchoAgent:
    """Answers with what it heard; a real agent in every rule of the contract.

    With endpoint "agent" a turn ends after 200 ms below a level. Script it by the attributes;
    `listened` tells who was to end each listening.

    Attributes:
        call: a tool to call before answering.
        fail: end each answer by this failure.
        mute: never say anything, not even that the turn is over.
        hold: the answer waits for this event after its first audio.
        seconds: length of the answer, instead of what was heard.
    """

    input_rate = RATE
    output_rate = RATE

    def __init__(self) -> None:
        self.call: said.ToolCall | None = None
        self.fail: said.AgentFailed | None = None
        self.mute = False
        self.hold: asyncio.Event | None = None
        self.ms: int | None = None
        self.deaf_to_interrupt = False
        self.start_delay = 0.0
        self.start_error: Exception | None = None
        self.config = said.AgentConfig()
        self.deaf = False
        self.listened: list[said.Endpoint] = []
        self.heard: list[bytes] = []
        self.interrupts: list[int] = []
        self.results: dict[str, tuple[str, bool]] = {}
        self.closed = False
        self._fed = bytearray()
        self._quiet = 0
        self._speaking = False
        self._ended_one = False
        self._events: asyncio.Queue[said.AgentEvent | None] = asyncio.Queue()
        self._answer: asyncio.Task[None] | None = None
        self._result = asyncio.Event()

    async def start(self, config: said.AgentConfig) -> None:
        self.config = config
        await asyncio.sleep(self.start_delay)
        if self.start_error is not None:
            raise self.start_error

    def listen(self, endpoint: said.Endpoint) -> None:
        if endpoint == "agent" and self.deaf:
            raise AgentError("it has no ear for the end of a turn", hint="give it one")
        self.listened.append(endpoint)
        self._ended_one = False
        self.clear()

    def feed(self, pcm: bytes) -> None:
        self._fed += pcm
        if self.listened and self.listened[-1] == "agent":
            self._listen(pcm)

    def commit(self) -> None:
        if self._ended_one and not self._speaking:
            self._fed.clear()
        else:
            self._answer_heard()

    def _answer_heard(self) -> None:
        pcm = bytes(self._fed)
        self._fed.clear()
        self._speaking = False
        self.heard.append(pcm)
        self._begin(f"heard {len(pcm) // (2 * RATE // 1000)} ms", pcm)

    def clear(self) -> None:
        self._fed.clear()
        self._speaking = False

    def say(self, text: str) -> None:
        self.clear()
        self._begin(text, tone(400))

    async def events(self) -> AsyncIterator[said.AgentEvent]:
        while (event := await self._events.get()) is not None:
            yield event

    def interrupt(self, played_ms: int) -> None:
        self.interrupts.append(played_ms)
        if self._answer is None or self._answer.done() or self.deaf_to_interrupt:
            return
        self._answer.cancel()
        self._events.put_nowait(said.AnswerCancelled())

    def tool_result(self, call_id: str, content: str, *, is_error: bool = False) -> None:
        self.results[call_id] = (content, is_error)
        self._result.set()

    async def close(self) -> None:
        self.closed = True
        if self._answer is not None:
            self._answer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._answer
        self._events.put_nowait(None)

    def _listen(self, pcm: bytes) -> None:
        loud = np.abs(np.frombuffer(pcm, np.int16).astype(np.int32)).max(initial=0) > 1_000
        ms = len(pcm) * 1000 // (2 * RATE)
        self._quiet = 0 if loud else self._quiet + ms
        if loud and not self._speaking:
            self._speaking = True
            self._events.put_nowait(said.SpeechStarted())
        elif self._speaking and self._quiet >= 200:
            self._events.put_nowait(said.SpeechStopped(speech_end_ms_ago=self._quiet))
            self._answer_heard()
            self._ended_one = True

    def _begin(self, transcript: str, pcm: bytes) -> None:
        work = self._reply(transcript, pcm, self._answer)
        self._answer = asyncio.get_running_loop().create_task(work)

    async def _reply(self, transcript: str, pcm: bytes, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])
        put = self._events.put_nowait
        if self.mute:
            await asyncio.sleep(3600)
        put(said.UserTranscript(transcript))
        if self.call is not None:
            self._result.clear()
            put(self.call)
            await self._result.wait()
        if self.fail is not None:
            put(self.fail)
            return
        if self.ms is not None:
            pcm = tone(self.ms)
        put(said.AnswerStage("llm_first"))
        put(said.AnswerText(f"You said: {transcript}"))
        put(said.AnswerStage("tts_first"))
        step = 2 * RATE // 10
        for at in range(0, len(pcm), step):
            put(said.AnswerAudio(pcm[at : at + step], RATE))
            await asyncio.sleep(0)
            if self.hold is not None:
                await self.hold.wait()
        put(said.AnswerDone(f"You said: {transcript}"))


@dataclass
class Received:
    """One message that the gateway sent, and when."""

    at: float
    message: dict[str, Any] | bytes


class Device:
    """A xiaozhi device, played by the test over a real WebSocket."""

    def __init__(self, socket: websockets.ClientConnection, version: int) -> None:
        self.socket = socket
        self.version = version
        self.received: list[Received] = []
        self.hello: dict[str, Any] = {}
        self.closed = asyncio.Event()
        self._news = asyncio.Event()
        self._seen: set[int] = set()
        self._reader = asyncio.get_running_loop().create_task(self._read())
        self._encoder = Encoder(RATE)

    async def _read(self) -> None:
        try:
            async for message in self.socket:
                parsed = json.loads(message) if isinstance(message, str) else message
                self.received.append(Received(time.monotonic(), parsed))
                self._news.set()
        except websockets.ConnectionClosed:
            pass
        finally:
            self.closed.set()
            self._news.set()

    async def say_hello(self, **keys: Any) -> dict[str, Any]:
        audio = {"format": "opus", "sample_rate": RATE, "channels": 1, "frame_duration": 60}
        hello = {
            "type": "hello",
            "version": self.version,
            "transport": "websocket",
            "audio_params": audio,
        }
        await self.send(**(hello | keys))
        self.hello = await self.expect("hello")
        return self.hello

    async def send(self, **message: Any) -> None:
        await self.socket.send(json.dumps(message))

    async def speak(self, ms: int, pcm: bytes | None = None, *, pace: float = 0.0) -> None:
        """Send `ms` of a tone, or `pcm`, in 20 ms packets."""
        pcm = tone(ms) if pcm is None else pcm
        size = self._encoder.frame_bytes
        for at in range(0, len(pcm) - size + 1, size):
            await self.socket.send(self.frame(self._encoder.encode(pcm[at : at + size])))
            await asyncio.sleep(pace)

    def frame(self, packet: bytes) -> bytes:
        if self.version == 2:
            return struct.pack(">HHIII", 2, 0, 0, 0, len(packet)) + packet
        if self.version == 3:
            return struct.pack(">BBH", 0, 0, len(packet)) + packet
        return packet

    def messages(self, kind: str, **keys: Any) -> list[dict[str, Any]]:
        return [
            item.message
            for item in self.received
            if isinstance(item.message, dict)
            and item.message["type"] == kind
            and all(item.message.get(key) == value for key, value in keys.items())
        ]

    def packets(self) -> list[bytes]:
        skip = {1: 0, 2: 16, 3: 4}[self.version]
        found = [item.message for item in self.received if isinstance(item.message, bytes)]
        return [packet[skip:] for packet in found]

    def pcm(self) -> bytes:
        decoder = Decoder(RATE)
        return b"".join(decoder.decode(packet) for packet in self.packets())

    async def until(self, condition: Callable[[], bool], within: float = 10.0) -> None:
        async with asyncio.timeout(within):
            while not condition():
                if self.closed.is_set():
                    raise ConnectionError(f"closed: {self.socket.close_reason}")
                self._news.clear()
                await self._news.wait()

    async def expect(self, kind: str, within: float = 10.0, **keys: Any) -> dict[str, Any]:
        """The next message of a kind that was not expected before."""

        def fresh() -> list[dict[str, Any]]:
            return [found for found in self.messages(kind, **keys) if id(found) not in self._seen]

        await self.until(lambda: bool(fresh()), within)
        found = fresh()[0]
        self._seen.add(id(found))
        return found

    async def close(self) -> None:
        await self.socket.close()
        await self._reader

    def vanish(self) -> None:
        """Cut the connection without a word."""
        self.socket.transport.abort()


@dataclass
class Gateway:
    """A door with a session of an `EchoAgent` behind each link."""

    door: WebSocketDoor
    port: int = 0
    scheme: str = "ws"
    agents: list[EchoAgent] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    records: list[TurnRecord] = field(default_factory=list)
    devices: list[Device] = field(default_factory=list)
    make_agent: Callable[[], EchoAgent] = EchoAgent

    async def connect(
        self, identity: str = "aa:bb:cc:dd:ee:ff", version: int = 1, **kwargs: Any
    ) -> Device:
        headers = {"Device-Id": identity, "Protocol-Version": str(version)}
        socket = await websockets.connect(
            f"{self.scheme}://127.0.0.1:{self.port}/xiaozhi/v1/",
            additional_headers=headers | kwargs.pop("headers", {}),
            **kwargs,
        )
        device = Device(socket, version)
        self.devices.append(device)
        return device

    async def until(self, condition: Callable[[], bool], within: float = 10.0) -> None:
        async with asyncio.timeout(within):
            while not condition():  # noqa: ASYNC110  any state of the gateway may be meant
                await asyncio.sleep(0.005)


def authorise(headers: Mapping[str, str]) -> str:
    """Anybody but the device named `bad`."""
    if headers.get("device-id") == "bad":
        raise AuthError("this device may not connect")
    return headers.get("device-id", "nameless").lower()


@pytest.fixture
async def open_gateway() -> AsyncIterator[Callable[..., Awaitable[Gateway]]]:
    """Opens gateways that are closed, with their devices, when the test is over.

    Links have an `EchoAgent` each unless one `agent` is given.
    """
    opened: list[Gateway] = []

    async def open_one(
        settings: SessionSettings | None = None,
        limits: Limits | None = None,
        agent: said.Agent | None = None,
        **door: Any,
    ) -> Gateway:
        async def on_link(link: Link) -> None:
            echo = gateway.make_agent()
            gateway.agents.append(echo)
            gateway.links.append(link)
            await Session(
                link,
                agent or echo,
                settings or SessionSettings(),
                on_turn=gateway.records.append,
            ).run()

        gateway = Gateway(WebSocketDoor("127.0.0.1", 0, on_link, authorise, limits=limits, **door))
        gateway.port = await gateway.door.start()
        opened.append(gateway)
        return gateway

    yield open_one
    for gateway in opened:
        for device in gateway.devices:
            await device.close()
        await gateway.door.close(2.0)
