"""The gateway put together: devices on real sockets, with an agent that answers by rote."""

from __future__ import annotations

import asyncio
import json
import math
import ssl
import struct
import subprocess
from array import array
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from aiohttp import ClientSession
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from harken.agents.agent import (
    AgentConfig,
    AgentEvent,
    AnswerAudio,
    AnswerDone,
    AnswerText,
    UserTranscript,
)
from harken.audio.opus import Encoder
from harken.config import LogSettings, ServerSettings, SessionSettings, Settings
from harken.daemon import Gateway
from harken.errors import ConfigError, ModelMissingError, StartError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from harken.agents.agent import Endpoint

pytestmark = pytest.mark.integration

TOKEN = "0123456789abcdef"
PATIENCE_S = 20


class SimAgent:
    """Answers every turn with the same words and 100 ms of a tone."""

    input_rate = 16_000

    def __init__(self, source: SimAgents) -> None:
        self._source = source
        self._events: asyncio.Queue[AgentEvent | None] = asyncio.Queue()
        self._heard = 0

    async def start(self, config: AgentConfig) -> None:
        self._source.configs.append(config)

    def listen(self, endpoint: Endpoint) -> None:
        self._heard = 0

    def feed(self, pcm: bytes) -> None:
        if self._source.fails_while_hearing:
            raise RuntimeError("the agent broke")
        self._heard += len(pcm)

    def commit(self) -> None:
        self._answer(f"{self._heard // 32} ms")
        self._heard = 0

    def _answer(self, transcript: str) -> None:
        tone = (int(8_000 * math.sin(n / 8)) for n in range(self._source.answer_samples))
        for event in (
            UserTranscript(transcript),
            AnswerText("I heard you."),
            AnswerAudio(array("h", tone).tobytes(), 16_000),
            AnswerDone("I heard you."),
        ):
            self._events.put_nowait(event)

    def clear(self) -> None:
        self._heard = 0

    def say(self, text: str) -> None:
        self._answer(text)

    async def events(self) -> AsyncIterator[AgentEvent]:
        while (event := await self._events.get()) is not None:
            yield event

    def interrupt(self, played_ms: int) -> None: ...

    def tool_result(self, call_id: str, content: str, *, is_error: bool = False) -> None: ...

    async def close(self) -> None:
        self._source.closed += 1
        self._events.put_nowait(None)


class SimAgents:
    """Makes them; may fail or wait to be let go on, as a test says."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.failures: list[Exception] = []
        self.fails_while_hearing = False
        self.configs: list[AgentConfig] = []
        self.closed = 0
        self.let_go = False
        self.answer_samples = 1_600

    async def prepare(self) -> None:
        await self.go_on.wait()
        if self.failures:
            raise self.failures.pop(0)

    def create(self) -> SimAgent:
        return SimAgent(self)

    async def close(self) -> None:
        self.let_go = True


def settings(folder: Path, **server: Any) -> Settings:
    ports: dict[str, Any] = {
        "http_port": 0,
        "websocket_port": 0,
        "registry": str(folder / "devices.sqlite3"),
    }
    log = LogSettings(turns=str(folder / "turns.jsonl"))
    return Settings(server=ServerSettings(**{**ports, **server}), log=log)


@pytest.fixture
async def agents() -> SimAgents:
    return SimAgents()


class Board:
    """A stock device: protocol version 1, 60 ms packets, ends its turns itself."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._encoder = Encoder(16_000, frame_ms=60)

    async def tell(self, **message: Any) -> None:
        await self._socket.send(json.dumps(message))

    async def hello(self) -> dict[str, Any]:
        audio = {"format": "opus", "sample_rate": 16_000, "channels": 1, "frame_duration": 60}
        await self.tell(type="hello", version=1, transport="websocket", audio_params=audio)
        return await self.hear("hello")

    async def speak(self, packets: int = 5) -> None:
        await self.tell(type="listen", state="start", mode="manual")
        for _ in range(packets):
            await self._socket.send(self._encoder.encode(bytes(self._encoder.frame_bytes)))
        await self.tell(type="listen", state="stop")

    async def hear(self, kind: str, **wanted: Any) -> dict[str, Any]:
        """The next message of a kind; what else comes meanwhile is passed over."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                message = await self._socket.recv()
                if isinstance(message, bytes):
                    continue
                found = json.loads(message)
                if found["type"] == kind and wanted.items() <= found.items():
                    return dict(found)

    async def answer(self) -> tuple[str, int]:
        """What the gateway heard, and packets of the answer."""
        heard = await self.hear("stt")
        await self.hear("tts", state="start")
        return heard["text"], await self.packets_until_stop()

    async def packets_until_stop(self) -> int:
        packets = 0
        async with asyncio.timeout(PATIENCE_S):
            while True:
                message = await self._socket.recv()
                if isinstance(message, bytes):
                    packets += 1
                elif json.loads(message).get("state") == "stop":
                    return packets


@asynccontextmanager
async def board(gateway: Gateway, identity: str = "AA:BB", **named: Any) -> AsyncIterator[Board]:
    headers = {"Device-Id": identity, **named.pop("headers", {})}
    async with connect(gateway.addresses.websocket, additional_headers=headers, **named) as socket:
        yield Board(socket)


async def get(gateway: Gateway, path: str) -> Any:
    async with ClientSession() as http, http.get(gateway.addresses.http + path) as answer:
        return (
            await answer.json() if "json" in answer.headers["Content-Type"] else await answer.text()
        )


async def test_a_turn_goes_all_the_way(tmp_path: Path, agents: SimAgents) -> None:
    async with Gateway(settings(tmp_path), agents=agents) as gateway, board(gateway) as device:
        await device.hello()
        await device.speak(packets=5)
        assert await device.answer() == ("300 ms", 2)
        (known,) = (await get(gateway, "/api/devices"))["devices"]
        assert (known["identity"], known["connected"]) == ("aa:bb", True)
        assert (await get(gateway, "/healthz"))["sessions"] == 1
    turn = msgspec.json.decode((tmp_path / "turns.jsonl").read_bytes())
    assert (turn["device"], turn["transcript"], turn["answer"]) == (
        "aa:bb",
        "300 ms",
        "I heard you.",
    )
    assert agents.configs[0].language == "en"
    assert "voice assistant" in agents.configs[0].instructions
    assert agents.closed == 1
    assert agents.let_go


async def test_typed_text_is_answered_and_wake_words_are_not(
    tmp_path: Path, agents: SimAgents
) -> None:
    async with Gateway(settings(tmp_path), agents=agents) as gateway, board(gateway) as device:
        await device.hello()
        for word in ("Hi,ESP", "okay_nabu", "你好小智"):
            await device.tell(type="listen", state="detect", text=word)
        await device.tell(type="listen", state="detect", text="what time is it")
        assert await device.answer() == ("what time is it", 2)
    turns = [json.loads(line) for line in (tmp_path / "turns.jsonl").read_bytes().splitlines()]
    assert [turn["transcript"] for turn in turns] == ["what time is it"]


async def test_a_wake_word_of_ones_own(tmp_path: Path, agents: SimAgents) -> None:
    own = msgspec.structs.replace(
        settings(tmp_path), session=SessionSettings(wake_words=("ahoy there",))
    )
    async with Gateway(own, agents=agents) as gateway, board(gateway) as device:
        await device.hello()
        await device.tell(type="listen", state="detect", text="Ahoy there!")
        await device.tell(type="listen", state="detect", text="okay nabu")
        assert await device.answer() == ("okay nabu", 2)


async def test_metrics_tell_of_it(tmp_path: Path, agents: SimAgents) -> None:
    async with Gateway(settings(tmp_path), agents=agents) as gateway:
        async with board(gateway) as device:
            await device.hello()
            await device.speak(packets=4)
            await device.answer()
        text = await get(gateway, "/metrics")
    assert 'harken_frames_total{direction="up"} 4.0' in text
    assert 'harken_frames_total{direction="down"} 2.0' in text
    assert "harken_sessions_opened_total 1.0" in text
    assert "harken_turns_total" in text


async def test_a_device_that_comes_early_waits_for_the_agent(
    tmp_path: Path, agents: SimAgents
) -> None:
    agents.go_on.clear()
    async with Gateway(settings(tmp_path), agents=agents) as gateway:
        assert gateway.agent_state == "loading"
        async with board(gateway) as device:
            await device.hello()
            await device.speak(packets=3)
            assert (await get(gateway, "/healthz"))["agent"] == "loading"
            agents.go_on.set()
            assert await device.answer() == ("180 ms", 2)
            assert gateway.agent_state == "ready"


async def test_an_agent_that_cannot_be_had_is_told_and_tried_again(
    tmp_path: Path, agents: SimAgents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harken.agents.shared._RETRY_S", 3_600.0)
    hint = "harken models pull whisper-tiny"
    agents.failures = [ModelMissingError("whisper-tiny is not in the store", hint=hint)]
    agents.go_on.clear()
    async with Gateway(settings(tmp_path), agents=agents) as gateway:
        async with board(gateway) as device:
            await device.hello()
            agents.go_on.set()
            alert = await device.hear("alert")
            assert hint in alert["message"]
            with pytest.raises(ConnectionClosed):
                await device.hear("never")
        assert gateway.agent_state == f"failed: whisper-tiny is not in the store ({hint})"
        monkeypatch.setattr("harken.agents.shared._RETRY_S", 0.0)
        async with board(gateway) as device:
            await device.hello()
            await device.speak()
            await device.answer()
        assert gateway.agent_state == "ready"


async def test_a_session_that_breaks_ends_alone(tmp_path: Path, agents: SimAgents) -> None:
    async with Gateway(settings(tmp_path), agents=agents) as gateway:
        async with board(gateway, "good") as good, board(gateway, "bad") as bad:
            await good.hello()
            await bad.hello()
            agents.fails_while_hearing = True
            await bad.speak()
            with pytest.raises(ConnectionClosed):
                await bad.hear("never")
            agents.fails_while_hearing = False
            await good.speak()
            assert await good.answer() == ("300 ms", 2)
        assert 'harken_session_failures_total{code="internal"} 1.0' in await get(
            gateway, "/metrics"
        )


async def test_several_devices_at_once(tmp_path: Path, agents: SimAgents) -> None:
    async def converse(gateway: Gateway, number: int) -> tuple[str, int]:
        async with board(gateway, f"device-{number}") as device:
            await device.hello()
            await device.speak(packets=number + 1)
            return await device.answer()

    async with Gateway(settings(tmp_path), agents=agents) as gateway:
        found = await asyncio.gather(*(converse(gateway, n) for n in range(8)))
        known = (await get(gateway, "/api/devices"))["devices"]
    assert list(found) == [(f"{60 * (n + 1)} ms", 2) for n in range(8)]
    assert {device["identity"] for device in known} == {f"device-{n}" for n in range(8)}


async def test_a_device_without_a_name_is_served_and_not_remembered(
    tmp_path: Path, agents: SimAgents
) -> None:
    async with Gateway(settings(tmp_path), agents=agents) as gateway:
        async with board(gateway, " ") as device:
            await device.hello()
            await device.speak()
            await device.answer()
        assert (await get(gateway, "/api/devices"))["devices"] == []


async def test_a_registry_that_breaks_does_not_keep_devices_out(
    tmp_path: Path, agents: SimAgents
) -> None:
    async with Gateway(settings(tmp_path), agents=agents) as gateway:
        gateway._registry.close()
        told = await get(gateway, "/xiaozhi/ota/")
        assert told["websocket"]["url"] == gateway.addresses.websocket
        async with board(gateway) as device:
            await device.hello()
            await device.speak()
            await device.answer()


async def test_too_many_devices_are_refused(tmp_path: Path, agents: SimAgents) -> None:
    async with (
        Gateway(settings(tmp_path, max_devices=1), agents=agents) as gateway,
        board(gateway) as device,
    ):
        await device.hello()
        with pytest.raises(InvalidStatus, match="503"):
            async with board(gateway, "second"):
                pass


async def test_leaving_says_goodbye_to_devices_at_once(tmp_path: Path, agents: SimAgents) -> None:
    gateway = Gateway(settings(tmp_path), agents=agents)
    gateway.addresses = await gateway.start()
    async with board(gateway) as device:
        await device.hello()
        async with asyncio.timeout(5):
            await gateway.stop()
        with pytest.raises(ConnectionClosed) as caught:
            await device.hear("never")
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1001
    assert agents.closed == 1


async def test_an_agent_that_never_lets_go_does_not_hold_up_the_exit(
    tmp_path: Path, agents: SimAgents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harken.agents.shared._LEAVE_S", 0.05)
    monkeypatch.setattr(agents, "close", asyncio.Event().wait)
    async with asyncio.timeout(10):
        async with Gateway(settings(tmp_path), agents=agents):
            pass


async def test_an_answer_that_is_being_given_is_still_heard(
    tmp_path: Path, agents: SimAgents
) -> None:
    agents.answer_samples = 16_000
    async with Gateway(settings(tmp_path), agents=agents) as gateway, board(gateway) as device:
        await device.hello()
        await device.speak()
        await device.hear("tts", state="start")
        leaving = asyncio.create_task(gateway.stop())
        await asyncio.sleep(0)
        with pytest.raises(InvalidStatus, match="401"):
            async with board(gateway, "late"):
                pass
        assert await device.packets_until_stop() == 17
        with pytest.raises(ConnectionClosed):
            await device.hear("never")
        async with asyncio.timeout(5):
            await leaving


async def test_an_answer_without_end_does_not_hold_up_the_exit(
    tmp_path: Path, agents: SimAgents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harken.daemon._DRAIN_S", 0.1)
    agents.answer_samples = 16_000 * 10
    async with Gateway(settings(tmp_path), agents=agents) as gateway, board(gateway) as device:
        await device.hello()
        await device.speak()
        await device.hear("tts", state="start")
        async with asyncio.timeout(5):
            await gateway.stop()
    turn = msgspec.json.decode((tmp_path / "turns.jsonl").read_bytes())
    assert turn["interrupted"]
    assert turn["sent_ms"] < 5_000


async def test_leaving_while_the_agent_still_loads(tmp_path: Path, agents: SimAgents) -> None:
    agents.go_on.clear()
    async with asyncio.timeout(10):
        async with Gateway(settings(tmp_path), agents=agents) as gateway, board(gateway) as device:
            await device.hello()
            await gateway.stop()


@pytest.mark.parametrize("which", ["http_port", "websocket_port"])
async def test_a_port_in_use_is_named_with_the_way_out(
    tmp_path: Path, agents: SimAgents, which: str
) -> None:
    async with Gateway(settings(tmp_path), agents=agents) as first:
        url = first.addresses.http if which == "http_port" else first.addresses.websocket
        port = int(url.split(":")[2].split("/")[0])
        with pytest.raises(StartError, match=str(port)) as caught:
            await Gateway(settings(tmp_path, **{which: port}), agents=agents).start()
        flag = "--" + which.replace("_", "-")
        assert flag in caught.value.hint
        assert f"server.{which}" in caught.value.hint
        async with board(first) as device:
            await device.hello()


async def test_a_registry_that_cannot_be_opened_is_a_start_error(
    tmp_path: Path, agents: SimAgents
) -> None:
    with pytest.raises(StartError, match="registry"):
        await Gateway(settings(tmp_path, registry=str(tmp_path)), agents=agents).start()


def test_beyond_loopback_it_refuses_without_tokens_and_tls(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="tokens and TLS"):
        Gateway(settings(tmp_path, host="0.0.0.0"))


async def test_a_certificate_that_is_none_is_named(tmp_path: Path, agents: SimAgents) -> None:
    pem = tmp_path / "x.pem"
    pem.write_text("nonsense")
    server = {"tls_certificate": str(pem), "tls_key": str(pem)}
    with pytest.raises(ConfigError, match="cannot be used"):
        await Gateway(settings(tmp_path, **server), agents=agents).start()


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    crt, key = tmp_path / "crt.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout", str(key)]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-out", str(crt)]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=30)
    except FileNotFoundError:
        pytest.skip("apt install openssl")
    return crt, key


async def test_tokens_and_tls(
    tmp_path: Path, agents: SimAgents, certificate: tuple[Path, Path]
) -> None:
    crt, key = map(str, certificate)
    trust = ssl.create_default_context(cafile=crt)
    server = {"tokens": (TOKEN,), "tls_certificate": crt, "tls_key": key}
    async with Gateway(settings(tmp_path, **server), agents=agents) as gateway:
        assert gateway.addresses.websocket.startswith("wss://")
        for wrong in ({}, {"Authorization": "Bearer "}, {"Authorization": f"Bearer {TOKEN[1:]}"}):
            with pytest.raises(InvalidStatus, match="401"):
                async with board(gateway, headers=wrong, ssl=trust):
                    pass
        shown = {"Authorization": f"Bearer {TOKEN}"}
        async with board(gateway, headers=shown, ssl=trust) as device:
            await device.hello()
            await device.speak()
            assert await device.answer() == ("300 ms", 2)
        async with (
            ClientSession(headers=shown) as http,
            http.get(gateway.addresses.http + "/xiaozhi/ota/", ssl=trust) as answer,
        ):
            told = (await answer.json())["websocket"]
    assert told["url"] == gateway.addresses.websocket
    assert told["token"] == TOKEN


async def test_version_3_frames_are_taken(tmp_path: Path, agents: SimAgents) -> None:
    async with Gateway(settings(tmp_path), agents=agents) as gateway:
        headers = {"Device-Id": "v3", "Protocol-Version": "3"}
        async with connect(gateway.addresses.websocket, additional_headers=headers) as socket:
            device = Board(socket)
            audio = {"format": "opus", "sample_rate": 16_000, "channels": 1, "frame_duration": 60}
            await device.tell(type="hello", version=3, transport="websocket", audio_params=audio)
            await device.hear("hello")
            await device.tell(type="listen", state="start", mode="manual")
            packet = Encoder(16_000, frame_ms=60).encode(bytes(1_920))
            await socket.send(struct.pack(">BBH", 0, 0, len(packet)) + packet)
            await device.tell(type="listen", state="stop")
            assert await device.answer() == ("60 ms", 2)
