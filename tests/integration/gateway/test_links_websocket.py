"""The door: who comes in, and what becomes of those who misbehave."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
from typing import TYPE_CHECKING

import pytest
import websockets
from websockets.frames import Frame, Opcode

from harken.errors import StartError
from harken.links.websocket import Limits, WebSocketDoor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.integration.gateway.conftest import Gateway

    OpenGateway = Callable[..., Awaitable[Gateway]]

pytestmark = pytest.mark.integration


async def refused(gateway: Gateway, reason: str, count: int = 1) -> None:
    counters = gateway.links[0].counters
    await gateway.until(lambda: counters.refused.get(reason, 0) >= count)


async def still_works(gateway: Gateway) -> None:
    device = gateway.devices[0]
    await device.send(type="listen", state="start", mode="manual")
    await device.speak(200)
    await device.send(type="listen", state="stop")
    await device.expect("stt", text="heard 200 ms")
    await device.expect("tts", state="stop")


async def test_hello_is_answered_in_full(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway()
    hello = await (await gateway.connect()).say_hello()
    assert len(hello.pop("session_id")) == 32
    assert hello == {
        "type": "hello",
        "transport": "websocket",
        "audio_params": {
            "format": "opus",
            "sample_rate": 24_000,
            "channels": 1,
            "frame_duration": 60,
        },
    }


async def test_a_bare_hello_is_enough(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway()
    device = await gateway.connect(headers={"Authorization": "Bearer "})
    await device.send(type="hello")
    assert (await device.expect("hello"))["transport"] == "websocket"


async def test_a_browser_puts_its_identity_into_the_query(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway()
    url = f"ws://127.0.0.1:{gateway.port}/xiaozhi/v1/?device-id=AA:BB&client-id=x"
    async with websockets.connect(url, origin=f"http://127.0.0.1:{gateway.port}") as socket:  # type: ignore[arg-type]
        await socket.send('{"type": "hello"}')
        await socket.recv()
        assert gateway.links[0].identity == "aa:bb"


async def test_a_page_of_another_site_may_not_connect(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway()
    url = f"ws://127.0.0.1:{gateway.port}/"
    with pytest.raises(websockets.InvalidStatus) as refusal:
        await websockets.connect(url, origin="http://evil.example")  # type: ignore[arg-type]
    assert refusal.value.response.status_code == 403


async def test_a_browser_that_keeps_alive_may_upgrade(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway()
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    assert b"101" in await reader.readline()
    writer.close()
    await writer.wait_closed()


async def test_who_is_not_authorised_stays_out(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway()
    with pytest.raises(websockets.InvalidStatus) as refusal:
        await gateway.connect("bad")
    assert refusal.value.response.status_code == 401
    assert gateway.door.links == 0


async def test_a_full_gateway_says_so(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway(limits=Limits(links=1))
    await gateway.connect()
    with pytest.raises(websockets.InvalidStatus) as refusal:
        await gateway.connect()
    assert refusal.value.response.status_code == 503


async def test_a_port_in_use_is_named(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway()

    async def on_link(_: object) -> None: ...

    door = WebSocketDoor("127.0.0.1", gateway.port, on_link, lambda _: "x")
    with pytest.raises(StartError, match=f"port {gateway.port} of 127.0.0.1 is in use"):
        await door.start()


async def test_no_hello_no_link(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway(limits=Limits(hello_s=0.2))
    device = await gateway.connect()
    await device.closed.wait()
    assert device.socket.close_code == 1008
    assert device.socket.close_reason == "no hello within 0.2 s"
    await gateway.until(lambda: gateway.door.links == 0)


async def test_half_open_and_slow_handshakes_end(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway(limits=Limits(handshake_s=0.3))
    silent, _silent_writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    slow, slow_writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    slow_writer.write(b"GET / HTTP/1.1\r\nHost:")
    async with asyncio.timeout(5):
        assert await silent.read() == b""
        assert await slow.read() == b""
    for writer in (_silent_writer, slow_writer):
        writer.close()
        await writer.wait_closed()


async def test_garbage_instead_of_http(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway()
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(bytes(range(256)) * 4 + b"\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 400")
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("not json", "malformed"),
        ("[1, 2]", "malformed"),
        ('{"type": "listen"}', "malformed"),
        ('{"type": "listen", "state": "dance"}', "malformed"),
        ('{"type": "mcp", "payload": 5}', "malformed"),
        ('{"type": "' + "x" * 40_000 + '"}', "malformed"),
        ("[" * 5_000, "malformed"),
        ('{"type": "unheard_of"}', "unexpected"),
        ('{"type": "hello"}', "unexpected"),
        ('{"type": "mcp", "payload": {"jsonrpc": "2.0", "id": 99, "result": {}}}', "unexpected"),
        (b"", "malformed"),
        (b"\x00\x00\x00\x09four", "malformed"),
        (b"\x00\x00\x00", "malformed"),
        (b"\x01\x00\x00\x03{,}", "malformed"),
        (b"\x48" * 5_000, "malformed"),
    ],
)
async def test_a_bad_message_is_counted_and_harmless(
    open_gateway: OpenGateway, message: str | bytes, reason: str
) -> None:
    gateway = await open_gateway()
    device = await gateway.connect(version=3)
    await device.say_hello()
    await gateway.until(lambda: bool(gateway.links))
    await device.socket.send(message)
    await refused(gateway, reason)
    await still_works(gateway)


async def test_a_packet_that_is_no_opus_is_counted(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway()
    device = await gateway.connect()
    await device.say_hello()
    await device.send(type="listen", state="start", mode="manual")
    await device.socket.send(b"\xff\xff\xff\xff\xff")
    await refused(gateway, "audio")
    await device.send(type="listen", state="stop", harken={"speech": False})
    await device.expect("tts", state="stop")
    await still_works(gateway)


async def test_messages_before_hello_are_refused(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway()
    device = await gateway.connect()
    await device.send(type="listen", state="start")
    await device.socket.send(b"\x48abc")
    await device.say_hello()
    await refused(gateway, "unexpected", 2)
    await still_works(gateway)


async def test_fragments_are_put_together(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway()
    device = await gateway.connect()
    await device.socket.send(['{"type": ', '"hel', 'lo"}'])
    await device.expect("hello")
    await still_works(gateway)


async def test_version_1_frames_are_taken_whatever_was_agreed(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway()
    device = await gateway.connect(version=3)
    await device.say_hello()
    device.version = 1
    await device.send(type="listen", state="start", mode="manual")
    await device.speak(200)
    await device.send(type="listen", state="stop")
    await device.expect("stt", text="heard 200 ms")
    device.version = 3
    await device.expect("tts", state="stop")


async def test_json_in_a_binary_frame(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway()
    device = await gateway.connect(version=3)
    await device.say_hello()
    text = json.dumps({"type": "ping"}).encode()
    await device.socket.send(b"\x01\x00" + len(text).to_bytes(2, "big") + text)
    await device.expect("pong")


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\xc1\x82\0\0\0\0{}", 1002),  # text with a reserved bit
        (b"\xc2\x82\0\0\0\0\x48\0", 1002),  # audio with a reserved bit
        (b"\x82\x02\x48\0", 1002),  # not masked
        (b"\x83\x80\0\0\0\0", 1002),  # no such kind of frame
        (Frame(Opcode.CONT, b"{}").serialize(mask=True), 1002),
        (Frame(Opcode.BINARY, bytes(70_000)).serialize(mask=True), 1009),
    ],
)
async def test_broken_framing_ends_the_link_with_a_reason(
    open_gateway: OpenGateway, frame: bytes, code: int
) -> None:
    gateway = await open_gateway()
    device = await gateway.connect()
    await device.say_hello()
    device.socket.transport.write(frame)
    await device.closed.wait()
    assert device.socket.close_code == code
    assert device.socket.close_reason
    await gateway.until(lambda: gateway.door.links == 0)


async def test_endless_fragments_end_the_link(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway()
    device = await gateway.connect()
    await device.say_hello()
    device.socket.transport.write(Frame(Opcode.TEXT, b"x", fin=False).serialize(mask=True))
    for _ in range(20):
        part = Frame(Opcode.CONT, bytes(4_000), fin=False)
        device.socket.transport.write(part.serialize(mask=True))
    await device.closed.wait()
    assert device.socket.close_code == 1009


async def test_a_flood_is_cut_off(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway(limits=Limits(messages_a_second=50, message_burst=100))
    device = await gateway.connect()
    await device.say_hello()
    while not device.closed.is_set():
        device.socket.transport.write(Frame(Opcode.BINARY, b"\x48abc").serialize(mask=True))
        await asyncio.sleep(0)
    assert str(device.socket.close_reason).startswith("flood")
    await gateway.until(lambda: gateway.door.links == 0)


async def test_who_does_not_read_is_cut_off(open_gateway: OpenGateway) -> None:
    limits = Limits(unread_s=0.3, unread_bytes=4_096, ping_s=30)
    gateway = await open_gateway(limits=limits)
    device = await gateway.connect()
    await device.say_hello()
    device.socket.transport.pause_reading()
    link = gateway.links[0]

    def stuffed() -> bool:
        if gateway.door.links:
            try:
                for _ in range(64):
                    link.send_audio(bytes(1_000), 0)
            except Exception:
                return True
        return not gateway.door.links

    await gateway.until(stuffed)
    assert link.counters.dropped_down > 0
    await gateway.until(lambda: gateway.door.links == 0)
    device.socket.transport.abort()


async def test_who_does_not_answer_pings_is_gone(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway(limits=Limits(ping_s=0.2))
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    writer.write(Frame(Opcode.TEXT, b'{"type": "hello"}').serialize(mask=True))
    async with asyncio.timeout(5):
        assert b"ping/heartbeat" in await reader.read()
    writer.close()
    await writer.wait_closed()
    await gateway.until(lambda: gateway.door.links == 0)


async def test_tls(open_gateway: OpenGateway, tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = [
        "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
        "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
        "-keyout", str(key), "-out", str(certificate),
    ]  # fmt: skip
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True, timeout=30)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    gateway = await open_gateway(ssl=server)
    gateway.scheme = "wss"
    trusting = ssl.create_default_context(cafile=str(certificate))
    device = await gateway.connect(ssl=trusting)
    await device.say_hello()
    await still_works(gateway)


async def test_the_door_closes_in_time_with_a_goodbye(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway()
    device = await gateway.connect()
    await device.say_hello()
    async with asyncio.timeout(3):
        await gateway.door.close(2.0)
    await device.closed.wait()
    assert device.socket.close_code == 1001
    assert gateway.agents[0].closed
    with pytest.raises(OSError, match=r"."):
        await gateway.connect()


async def test_a_session_that_fails_ends_its_own_link(caplog: pytest.LogCaptureFixture) -> None:
    async def on_link(_: object) -> None:
        raise ValueError("a bug")

    door = WebSocketDoor("127.0.0.1", 0, on_link, lambda _: "x")
    port = await door.start()
    async with websockets.connect(f"ws://127.0.0.1:{port}/") as socket:
        await socket.send('{"type": "hello"}')
        await socket.recv()
        with pytest.raises(websockets.ConnectionClosed):
            await socket.recv()
        assert socket.close_reason == "internal error"
    await door.close(1.0)
    assert "the session of x failed" in caplog.text
