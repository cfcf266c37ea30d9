"""The device's app on its real link, against real servers: boot request, hello, turns, trouble."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("micropython_unix", reason="pip install 'harken[rig]'")

import websockets
from aiohttp import web

from harken_hil.micropython import firmware_paths, script

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from websockets.asyncio.server import ServerConnection

pytestmark = pytest.mark.integration

SCRIPTS = Path(__file__).parents[1] / "data" / "micropython"
OURS = {"v": 1, "features": ["playout", "marks", "endpoint"], "frame_ms": 20}


@dataclass
class Heard:
    """What a gateway got of one connection, in order."""

    headers: dict[str, str] = field(default_factory=dict[str, str])
    hello: dict[str, Any] = field(default_factory=dict[str, Any])
    messages: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    packets: list[bytes] = field(default_factory=list[bytes])
    order: list[str] = field(default_factory=list[str])


class SimGateway:
    """As much of a gateway as these tests need.

    Args:
        ours: what it answers under our key; None for a stock xiaozhi server.
        answer: binary messages that it speaks after each `listen stop` (or fifth packet, if stock).
        greet: what it does instead of saying hello.
    """

    def __init__(
        self,
        ours: dict[str, Any] | None = OURS,
        answer: tuple[bytes, ...] = (),
        greet: Callable[[ServerConnection], Awaitable[None]] | None = None,
    ) -> None:
        self.ours = ours
        self.answer = answer
        self.greet = greet
        self.connections: list[Heard] = []
        self.closed: list[int | None] = []
        self.greeted = asyncio.Event()

    async def serve(self, connection: ServerConnection) -> None:
        heard = Heard()
        assert connection.request is not None
        heard.headers = {name.lower(): value for name, value in connection.request.headers.items()}
        self.connections.append(heard)
        with contextlib.suppress(websockets.ConnectionClosed):
            await self.talk(connection, heard)
        await connection.wait_closed()
        self.closed.append(connection.close_code)

    async def talk(self, connection: ServerConnection, heard: Heard) -> None:
        heard.hello = json.loads(await connection.recv())
        if self.greet is not None:
            await self.greet(connection)
            return
        hello: dict[str, Any] = {"type": "hello", "transport": "websocket", "session_id": "s1"}
        hello["audio_params"] = {"format": "opus", "sample_rate": 24_000, "channels": 1}
        await connection.send(json.dumps(hello | ({"harken": self.ours} if self.ours else {})))
        self.greeted.set()
        async for message in connection:
            if isinstance(message, bytes):
                heard.packets.append(message)
                heard.order.append("packet")
                if self.ours is None and len(heard.packets) == 5:
                    await connection.send('{"type":"stt","text":"hello"}')
                    await self.speak(connection)
                continue
            told = json.loads(message)
            heard.messages.append(told)
            heard.order.append(told["type"] + ":" + (told.get("state") or told.get("kind") or ""))
            if heard.order[-1] == "listen:stop" and self.ours is not None and self.answer:
                await self.speak(connection)

    async def speak(self, connection: ServerConnection) -> None:
        await connection.send('{"type":"tts","state":"start"}')
        for packet in self.answer:
            await connection.send(packet)
        await connection.send('{"type":"tts","state":"stop"}')


def tls_of(certificate: Path | None) -> ssl.SSLContext | None:
    if certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    return context


@contextlib.asynccontextmanager
async def gateway(sim: SimGateway, certificate: Path | None = None) -> AsyncGenerator[str]:
    tls = tls_of(certificate)
    async with websockets.serve(sim.serve, "127.0.0.1", 0, ssl=tls) as server:
        scheme, host = ("wss", "localhost") if tls else ("ws", "127.0.0.1")
        yield f"{scheme}://{host}:{server.sockets[0].getsockname()[1]}/xiaozhi/v1/"


@contextlib.asynccontextmanager
async def bootstrap(
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]],
    certificate: Path | None = None,
) -> AsyncGenerator[str]:
    app = web.Application()
    app.router.add_post("/xiaozhi/ota/", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        tls = tls_of(certificate)
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        scheme, host = ("https", "localhost") if tls else ("http", "127.0.0.1")
        yield f"{scheme}://{host}:{runner.addresses[0][1]}/xiaozhi/ota/"
    finally:
        await runner.cleanup()


async def live(tmp_path: Path, settings: dict[str, Any], *steps: str) -> list[str]:
    """What the device printed while it lived through `steps`; it ended well."""
    file = tmp_path / "config.json"
    if settings:
        file.write_text(json.dumps(settings))
    paths = [SCRIPTS, *firmware_paths()]
    async with script(SCRIPTS / "device_life.py", str(file), *steps, paths=paths) as running:
        result = await running.result(40)
    assert result.status == 0, result.output
    return result.output.splitlines()


def framed(version: int, payload: bytes) -> bytes:
    if version == 2:
        return struct.pack(">HHIII", 2, 0, 0, 0, len(payload)) + payload
    return payload if version == 1 else struct.pack(">BBH", 0, 0, len(payload)) + payload


def unframed(version: int, message: bytes) -> tuple[bytes, int]:
    if version == 2:
        _, kind, _, timestamp, size = struct.unpack_from(">HHIII", message)
        assert kind == 0
        assert size == len(message) - 16
        return message[16:], timestamp
    if version == 3:
        kind, _, size = struct.unpack_from(">BBH", message)
        assert (kind, size) == (0, len(message) - 4)
        return message[4:], 0
    return message, 0


@pytest.mark.parametrize("version", [1, 2, 3])
async def test_a_turn_from_boot_to_the_end_of_the_answer(tmp_path: Path, version: int) -> None:
    answer = tuple(framed(version, bytes([7, i]) * 20) for i in range(10))
    sim = SimGateway(answer=answer)
    asked: list[web.Request] = []
    bodies: list[dict[str, Any]] = []
    async with gateway(sim) as url:

        async def told(request: web.Request) -> web.Response:
            asked.append(request)
            bodies.append(await request.json())
            section = {"url": url, "token": "secret", "version": version}
            time = {"timestamp": 1_757_567_894_012, "timezone_offset": 480}
            return web.json_response({"server_time": time, "websocket": section})

        async with bootstrap(told) as ota:
            steps = ("up", "wake", "say:20", "answer:10", "state:idle")
            lines = await live(tmp_path, {"ota_url": ota, "volume": 40}, *steps)
    (heard,) = sim.connections
    assert asked[0].headers["Device-Id"] == "02:00:00:00:00:01"
    assert asked[0].headers["Activation-Version"] == "1"
    assert bodies[0]["mac_address"] == "02:00:00:00:00:01"
    assert heard.headers["authorization"] == "Bearer secret"
    assert heard.headers["protocol-version"] == str(version)
    assert heard.headers["client-id"] == asked[0].headers["Client-Id"]
    assert heard.hello["harken"]["features"] == ["playout", "marks", "endpoint"]
    assert heard.hello["features"] == {"mcp": True}
    assert heard.order == [
        *("listen:detect", "listen:start"),
        *["packet"] * 20,
        *("listen:stop", "harken:marks", "harken:marks", "harken:playout"),
    ]
    for i, message in enumerate(heard.packets):
        payload, timestamp = unframed(version, message)
        assert payload == bytes([i]) + bytes((i + j) & 255 for j in range(1, 60))
        assert timestamp == (i * 20 if version == 2 else 0)
    assert "packets [[7, 0], [7, 1], [7, 2]]" in lines
    assert "unix 1757567894012" in lines
    kept = json.loads((tmp_path / "config.json").read_text())
    assert kept["websocket_url"] == url
    assert kept["volume"] == 40


async def test_what_is_said_while_connecting_comes_after_the_call(tmp_path: Path) -> None:
    async def slow(connection: ServerConnection) -> None:
        await asyncio.sleep(0.5)
        sim.greet = None
        await connection.close()

    sim = SimGateway(greet=slow)
    async with gateway(sim) as url:
        await live(
            tmp_path,
            {"websocket_url": url, "connection": "per_conversation"},
            *("wake", "state:connecting", "packets:20", "state:listening", "say:5"),
            *("state:thinking", "pass:200"),
        )
    assert sim.connections[-1].order[:27] == [
        *("listen:detect", "listen:start"),
        *["packet"] * 25,
    ]


async def test_the_next_call_after_a_loss_connects_at_once_and_loses_no_word(
    tmp_path: Path,
) -> None:
    sim = SimGateway()
    async with gateway(sim) as url:
        lines = await live(
            tmp_path,
            {"websocket_url": url},
            # Without the call, the next try would come after the end of the test.
            *("up", "backoff:60000", "wake", "packets:3", "wifi:off", "down"),
            *("wake", "state:connecting", "packets:30", "wifi:on", "state:listening"),
            *("say:5", "state:thinking", "pass:200"),
        )
    first, second = sim.connections
    assert first.order[:2] == ["listen:detect", "listen:start"]
    assert any(line.endswith("the connection was lost") for line in lines)
    assert second.order[:37] == ["listen:detect", "listen:start", *["packet"] * 35]
    assert [packet[0] for packet in second.packets] == [*range(30), *range(5)]


async def test_of_a_long_wait_for_the_gateway_the_last_two_seconds_are_sent(
    tmp_path: Path,
) -> None:
    sim = SimGateway()
    async with gateway(sim) as url:
        lines = await live(
            tmp_path,
            {"websocket_url": url},
            *("up", "wifi:off", "down", "wake", "state:connecting", "packets:130"),
            *("wifi:on", "state:listening", "say:5", "state:thinking", "pass:200"),
        )
    (heard,) = [one for one in sim.connections if one.packets]
    assert heard.order[:2] == ["listen:detect", "listen:start"]
    assert [packet[0] for packet in heard.packets] == [*range(30, 130), *range(5)]
    assert "dropped 30" in lines


async def test_a_connection_per_conversation_is_closed_after_it(tmp_path: Path) -> None:
    sim = SimGateway(answer=(b"abc",))
    async with gateway(sim) as url:
        await live(
            tmp_path,
            {"websocket_url": url, "connection": "per_conversation"},
            *("pass:200", "wake", "state:listening", "say:3", "answer:1", "state:idle", "down"),
            *("wake", "state:listening", "say:3", "answer:1", "state:idle", "down"),
        )
    assert len(sim.connections) == 2
    assert sim.closed == [1000, 1000]


async def test_a_stock_server_is_understood(tmp_path: Path) -> None:
    sim = SimGateway(ours=None, answer=(b"abc", b"def"))
    async with gateway(sim) as url:
        await live(
            tmp_path,
            {"websocket_url": url},
            *("up", "wake", "packets:5", "answer:2", "state:idle"),
        )
    (heard,) = sim.connections
    assert not [one for one in heard.order if one.startswith("harken")]
    assert heard.order[:3] == ["listen:detect", "listen:start", "packet"]


async def test_tools_are_served_over_the_link(tmp_path: Path) -> None:
    replies: list[dict[str, Any]] = []

    async def use(connection: ServerConnection) -> None:
        await connection.send('{"type":"hello","transport":"websocket"}')
        for number, (method, params) in enumerate(
            [
                ("initialize", {}),
                ("tools/list", {"cursor": ""}),
                (
                    "tools/call",
                    {"name": "self.audio_speaker.set_volume", "arguments": {"volume": 33}},
                ),
                ("tools/call", {"name": "self.get_device_status", "arguments": {}}),
            ],
            start=10,
        ):
            rpc = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
            await connection.send(json.dumps({"type": "mcp", "payload": rpc}))
            replies.append(json.loads(await connection.recv())["payload"])

    async with gateway(SimGateway(greet=use)) as url:
        await live(tmp_path, {"websocket_url": url}, "up", "pass:500")
    assert [reply["id"] for reply in replies] == [10, 11, 12, 13]
    status = json.loads(replies[3]["result"]["content"][0]["text"])
    assert status["audio_speaker"]["volume"] == 33
    assert json.loads((tmp_path / "config.json").read_text())["volume"] == 33


# --------------------------------------------------------------------------- trouble


async def test_a_gateway_that_never_says_hello_is_left_in_time(tmp_path: Path) -> None:
    async def mute(connection: ServerConnection) -> None:
        await connection.wait_closed()

    sim = SimGateway(greet=mute)
    async with gateway(sim) as url:
        await live(
            tmp_path, {"websocket_url": url}, "hurry:400", "log:does not say hello", "pass:1000"
        )
    assert len(sim.connections) >= 2  # it tries again


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("garbage", "not JSON"),
        ('{"type":"hello","transport":"udp"}', "another transport"),
        ('{"type":"hello","transport":"websocket","audio_params":{"format":"pcm"}}', "not Opus"),
        ("[1,2]", "not an object"),
        ('{"type":"ready"}', "unknown type"),
    ],
)
async def test_a_hello_that_is_none(tmp_path: Path, said: str, words: str) -> None:
    async def greet(connection: ServerConnection) -> None:
        await connection.send(said)

    sim = SimGateway(greet=greet)
    async with gateway(sim) as url:
        await live(tmp_path, {"websocket_url": url}, f"log:{words}")


async def test_nonsense_is_refused_and_too_much_of_it_ends_the_connection(tmp_path: Path) -> None:
    async def babble(connection: ServerConnection) -> None:
        await connection.send('{"type":"hello","transport":"websocket"}')
        for i in range(63):
            await connection.send(("{", '{"type":"x"}', b"\x00")[i % 3])
        await connection.send('{"type":"stt","text":"still here"}')
        await connection.send("{")

    sim = SimGateway(greet=babble)
    async with gateway(sim) as url:
        lines = await live(
            tmp_path,
            {"websocket_url": url, "websocket_version": 3},
            *("log:does not speak this protocol", "down"),
        )
    assert any(line.endswith("still here") for line in lines)
    assert sim.closed[0] == 1002


async def test_nonsense_on_one_connection_is_not_held_against_the_next(tmp_path: Path) -> None:
    async def babble(connection: ServerConnection) -> None:
        await connection.send('{"type":"hello","transport":"websocket"}')
        for _ in range(63):
            await connection.send("{")
        number = len(sim.connections)
        alert = {"type": "alert", "status": "still here", "message": f"on {number}", "emotion": ""}
        await connection.send(json.dumps(alert))
        await connection.close()

    sim = SimGateway(greet=babble)
    async with gateway(sim) as url:
        lines = await live(tmp_path, {"websocket_url": url}, "log:still here: on 3")
    assert not any("does not speak this protocol" in line for line in lines)


async def test_comes_back_when_the_gateway_does(tmp_path: Path) -> None:
    sim = SimGateway(answer=(b"abc",))
    async with gateway(sim) as url:
        port = int(url.split(":")[2].split("/")[0])
        file = tmp_path / "config.json"
        file.write_text(json.dumps({"websocket_url": url}))
        steps = ("log:the gateway closed", "up", "wake", "say:3", "answer:1", "state:idle")
        running = asyncio.create_task(live(tmp_path, {}, *steps))
        await asyncio.wait_for(sim.greeted.wait(), 10)

    async with websockets.serve(sim.serve, "127.0.0.1", port):
        lines = await running
    assert sim.connections[-1].order[-1] == "harken:playout"
    assert any("link up" in line or line == "mark link 0 up" for line in lines)


async def test_a_silent_gateway_is_pinged_and_one_that_is_gone_is_left(tmp_path: Path) -> None:
    pings: list[bytes] = []

    async def frozen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Upgrades, greets, and then neither answers nor closes."""
        import base64
        import hashlib

        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = head.split("Sec-WebSocket-Key: ")[1].split("\r\n")[0]
        digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        hello = b'{"type":"hello","transport":"websocket"}'
        writer.write(
            b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: "
            + base64.b64encode(digest)
            + b"\r\n\r\n"
            + bytes([0x81, len(hello)])
            + hello
        )
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(4096):
                pings.extend([b"ping"] * data.count(b"\x89\x80"))
        writer.close()

    server = await asyncio.start_server(frozen, "127.0.0.1", 0)
    url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with server:
        lines = await live(
            tmp_path, {"websocket_url": url}, "clock:100", "up", "log:silent for two minutes"
        )
    assert len(pings) >= 3
    assert any(line.endswith("link 0 down") or "mark link 0 down" in line for line in lines)


async def test_audio_that_nobody_takes_is_dropped_oldest_first(tmp_path: Path) -> None:
    async def deaf(connection: ServerConnection) -> None:
        await connection.send(
            json.dumps({"type": "hello", "transport": "websocket", "harken": OURS})
        )
        connection.transport.pause_reading()
        await ended.wait()
        connection.transport.abort()

    ended = asyncio.Event()
    sim = SimGateway(greet=deaf)
    async with gateway(sim) as url:
        lines = await live(
            tmp_path, {"websocket_url": url}, "up", "wake", "state:listening", "flood:16000"
        )
        ended.set()
    (dropped,) = [int(line.split()[1]) for line in lines if line.startswith("dropped")]
    assert dropped > 100


# --------------------------------------------------------------------------- boot request


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (500, b"", "answered 500"),
        (200, b"<html>", "not JSON"),
        (200, b"[]", "not an object"),
        (200, b"{}", "no gateway is known"),
        (200, b'{"x":"' + b"y" * 9000 + b'"}', "too long"),
    ],
)
async def test_a_boot_answer_that_does_not_help(
    tmp_path: Path, status: int, body: bytes, words: str
) -> None:
    async def told(request: web.Request) -> web.Response:
        return web.Response(status=status, body=body)

    async with bootstrap(told) as ota:
        await live(tmp_path, {"ota_url": ota}, f"log:{words}")


async def test_a_gateway_that_stalls_everywhere_does_not_starve_the_watchdog(
    tmp_path: Path,
) -> None:
    async def stall(request: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with server, bootstrap(stall) as ota:
        lines = await live(
            tmp_path,
            {"ota_url": ota, "websocket_url": url},
            # Every wait is a twentieth, and so is the patience of the watchdog.
            *("hurry:500", "patience:750", "log:using the last known", "log:other side stalls"),
            "pass:1500",
        )
    assert "starved 0" in lines


async def test_a_chunked_boot_answer(tmp_path: Path) -> None:
    sim = SimGateway()
    async with gateway(sim) as url:

        async def told(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            response.enable_chunked_encoding()
            await response.prepare(request)
            for char in json.dumps({"websocket": {"url": url}}):
                await response.write(char.encode())
            return response

        async with bootstrap(told) as ota:
            await live(tmp_path, {"ota_url": ota}, "up")


async def test_the_last_known_gateway_serves_while_the_boot_request_fails(tmp_path: Path) -> None:
    async def stall(request: web.Request) -> web.Response:
        await asyncio.sleep(5)
        return web.Response()

    sim = SimGateway()
    async with gateway(sim) as url, bootstrap(stall) as ota:
        settings = {"ota_url": ota, "websocket_url": url}
        lines = await live(tmp_path, settings, "hurry:500", "up")
    assert any("using the last known address" in line for line in lines)


async def count_heap(tmp_path: Path, version: int, certificate: Path | None = None) -> str:
    """What the heap gained over 400 packets up and 400 down."""
    sim = SimGateway(answer=(framed(version, bytes([120]) * 120),) * 460)
    file = tmp_path / "config.json"
    async with gateway(sim, certificate) as url:
        settings = {"websocket_url": url, "websocket_version": version}
        file.write_text(json.dumps(settings | {"tls_ca": str(certificate or "")}))
        paths = [SCRIPTS, *firmware_paths()]
        async with script(SCRIPTS / "frames_without_heap.py", str(file), paths=paths) as running:
            result = await running.result(40)
    assert result.status == 0, result.output
    assert "dropped 0 refused 0" in result.output
    return result.output


@pytest.mark.parametrize("version", [1, 2, 3])
async def test_audio_frames_take_no_heap(tmp_path: Path, version: int) -> None:
    assert "up 0 down 0" in await count_heap(tmp_path, version)


async def test_audio_frames_take_no_heap_under_tls(tmp_path: Path, certificate: Path) -> None:
    assert "up 0 down 0" in await count_heap(tmp_path, 1, certificate)


async def test_the_whole_way_under_tls(tmp_path: Path, certificate: Path) -> None:
    sim = SimGateway(answer=(b"abc",))
    async with gateway(sim, certificate) as url:

        async def told(request: web.Request) -> web.Response:
            return web.json_response({"websocket": {"url": url, "token": "secret"}})

        async with bootstrap(told, certificate) as ota:
            await live(
                tmp_path,
                {"ota_url": ota, "tls_ca": str(certificate)},
                *("up", "wake", "say:20", "answer:1", "state:idle"),
            )
    assert sim.connections[0].headers["authorization"] == "Bearer secret"
    assert len(sim.connections[0].packets) == 20
