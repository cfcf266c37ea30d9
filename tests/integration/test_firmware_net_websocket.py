"""The device's WebSocket client in the real MicroPython, against real and hostile servers."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import websockets

from harken_hil.micropython import firmware_paths, script

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from websockets.asyncio.server import ServerConnection

pytestmark = pytest.mark.integration

CLIENT = Path(__file__).parents[1] / "data" / "micropython" / "websocket_client.py"
Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def run_client(url: str, *steps: str, ca: str = "-", patience_ms: int = 10_000) -> list[str]:
    """What the client printed, line by line; it ended well."""
    async with script(CLIENT, url, ca, str(patience_ms), *steps, paths=firmware_paths()) as running:
        result = await running.result(25)
    assert result.status == 0, result.output
    return result.output.splitlines()


@contextlib.asynccontextmanager
async def raw_server(peer: Peer) -> AsyncIterator[str]:
    """A server that does with each connection what the test wants; its URL."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await peer(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()
        # The client has ended, so whoever still waits for it sees the end, or unread bytes.
        await asyncio.wait(tasks, timeout=0.2) if tasks else None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


async def upgrade(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take the handshake as RFC 6455 section 4.2.2 says."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    key = next(
        line.split(": ")[1] for line in head.split("\r\n") if line.startswith("Sec-WebSocket-Key")
    )
    accept = base64.b64encode(
        hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
    ).decode()
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept.encode() + b"\r\n\r\n"
    )
    await writer.drain()


def saying(data: bytes, *, piece: int = 0, then: str = "wait") -> Peer:
    """A server that upgrades, sends `data` (in pieces), and then waits or hangs up."""

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upgrade(reader, writer)
        for at in range(0, len(data), piece or len(data)):
            writer.write(data[at : at + (piece or len(data))])
            await writer.drain()
            await asyncio.sleep(0)
        if then == "wait":
            await reader.read()

    return peer


async def test_echoes_every_size_through_a_real_server() -> None:
    sizes = [0, 1, 125, 126, 1000, 4096]
    texts = ["", "hello", "grüße 你好", "x" * 126, "y" * 16_384]
    back: list[str | bytes] = []

    async def handler(connection: ServerConnection) -> None:
        for size in sizes:
            await connection.send(bytes(i & 255 for i in range(size)))
            back.append(await connection.recv())
        for text in texts:
            await connection.send(text)
            back.append(await connection.recv())

    async with websockets.serve(handler, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        lines = await run_client(f"ws://127.0.0.1:{port}/", f"echo:{len(sizes) + len(texts)}")
    assert back == [bytes(i & 255 for i in range(size)) for size in sizes] + texts
    assert lines[0] == "open"


async def test_puts_fragments_together() -> None:
    async def handler(connection: ServerConnection) -> None:
        await connection.send(["one ", "two ", "three"])
        await connection.send([b"\x01" * 2000, b"\x02" * 2000])
        await connection.wait_closed()

    async with websockets.serve(handler, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        lines = await run_client(f"ws://127.0.0.1:{port}/", "expect:2", "shut")
    assert lines == ["open", "text 13 one two three", "binary 4000 6000", "shut"]


async def test_answers_pings_and_closes_in_order() -> None:
    codes: list[int | None] = []

    async def handler(connection: ServerConnection) -> None:
        await (await connection.ping(b"are you there"))
        await connection.send("yes")
        await connection.wait_closed()
        codes.append(connection.close_code)

    async with websockets.serve(handler, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        lines = await run_client(f"ws://127.0.0.1:{port}/", "expect:1", "shut")
    assert lines == ["open", "text 3 yes", "shut"]
    assert codes == [1000]


async def test_says_with_which_code_the_server_closed() -> None:
    async def handler(connection: ServerConnection) -> None:
        await connection.close(1012, "restart")

    async with websockets.serve(handler, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        lines = await run_client(f"ws://127.0.0.1:{port}/", "closed")
    assert lines == ["open", "WebSocketError 1012 the gateway closed: 1012"]


async def test_masks_every_frame_with_another_key() -> None:
    keys: list[bytes] = []

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upgrade(reader, writer)
        for _ in range(40):
            first, second, *length = await reader.readexactly(4)
            assert first == 0x82
            assert second == 0x80 | 126
            assert length == [1000 >> 8, 1000 & 255]
            key = await reader.readexactly(4)
            payload = await reader.readexactly(1000)
            assert payload == key * 250  # of zeros
            keys.append(key)
        writer.write(b"\x81\x02ok")
        await reader.read()

    async with raw_server(peer) as url:
        lines = await run_client(url, "binary:40", "expect:1")
    assert lines == ["open", "text 2 ok"]
    assert len(set(keys)) == 40


async def test_lives_with_one_byte_at_a_time() -> None:
    data = b"\x81\x05hello" + b"\x82\x7e\x01\x00" + b"\x01" * 256 + b"\x89\x01p" + b"\x81\x02ok"
    async with raw_server(saying(data, piece=1)) as url:
        lines = await run_client(url, "expect:3")
    assert lines == ["open", "text 5 hello", "binary 256 256", "text 2 ok"]


HOSTILE = {
    "masked by the server": (b"\x81\x85abcdhello", 1002),
    "reserved bits": (b"\xc1\x05hello", 1002),
    "unknown opcode": (b"\x83\x00", 1002),
    "unknown control opcode": (b"\x8b\x00", 1002),
    "fragmented control frame": (b"\x09\x00", 1002),
    "long control frame": (b"\x89\x7e\x00\x80" + bytes(128), 1002),
    "continues nothing": (b"\x80\x01x", 1002),
    "another message within fragments": (b"\x01\x01x\x81\x01y", 1002),
    "length in more bytes than needed": (b"\x82\x7e\x00\x05hello", 1002),
    "text that is not UTF-8": (b"\x81\x02\xff\xfe", 1007),
    "fragments that are not UTF-8": (b"\x01\x01\xe2\x80\x01(", 1007),
    "text too big": (b"\x81\x7e\x40\x01", 1009),
    "binary too big": (b"\x82\x7e\x10\x01", 1009),
    "64-bit length": (b"\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff", 1009),
    "fragments too big": (b"\x02\x7e\x10\x00" + bytes(4096) + b"\x80\x01x", 1009),
}


@pytest.mark.parametrize("case", HOSTILE)
async def test_refuses(case: str) -> None:
    data, code = HOSTILE[case]
    told = bytearray()

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await saying(data, then="go on")(reader, writer)
        told.extend(await reader.read())

    async with raw_server(peer) as url:
        lines = await run_client(url, "closed")
    assert lines[0] == "open"
    assert lines[1].startswith(f"WebSocketError {code} "), lines
    assert told[0] == 0x88  # a close frame, with the code under its mask
    assert bytes(told[6 + i] ^ told[2 + i] for i in range(2)) == code.to_bytes(2, "big")


async def test_sees_a_hang_up_within_a_frame() -> None:
    async with raw_server(saying(b"\x82\x10abc", then="hang up")) as url:
        lines = await run_client(url, "closed")
    assert lines[1] == "WebSocketError 1006 the gateway hung up without a close"


async def test_leaves_a_server_that_stalls_within_a_frame() -> None:
    async with raw_server(saying(b"\x82\x10abc")) as url:
        lines = await run_client(url, "closed", patience_ms=400)
    assert lines[1] == "WebSocketError 1008 the gateway stalls within a message"


async def test_leaves_a_server_that_does_not_read() -> None:
    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upgrade(reader, writer)
        await asyncio.Event().wait()

    async with raw_server(peer) as url:
        lines = await run_client(url, "binary:20000", patience_ms=400)
    assert lines[1] == "WebSocketError 1008 the gateway does not read"


UPGRADES = {
    b"HTTP/1.1 404 Not Found\r\n\r\n": "WebSocketError 404",
    b"HTTP/1.1 401 Unauthorized\r\n\r\n": "WebSocketError 401",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n": "WebSocketError 1002",
    b"SSH-2.0-OpenSSH_9.2\r\n": "NetError the answer is not HTTP",
    b"HTTP/1.1 101 " + b"x" * 5000: "NetError an HTTP head with an endless line",
    b"HTTP/1.1 101 x\r\n" + b"a: b\r\n" * 500: "NetError an HTTP head with too many headers",
    b"\xff\xfe\r\n\r\n": "NetError an HTTP head that is not ASCII",
    b"HTTP/1.1 101": "NetError the other side stalls",
}


@pytest.mark.parametrize("answer", UPGRADES)
async def test_refuses_what_is_no_upgrade(answer: bytes) -> None:
    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await reader.read()

    async with raw_server(peer) as url:
        (line,) = await run_client(url, "closed", patience_ms=1000)
    assert line.startswith(UPGRADES[answer]), line


async def test_names_a_port_where_nobody_listens() -> None:
    server = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    (line,) = await run_client(f"ws://127.0.0.1:{port}/")
    assert line == f"NetError nobody answers at 127.0.0.1:{port}"


@pytest.mark.parametrize(
    "url", ["", "ftp://host/", "ws://", "ws://host:0/", "ws://host:99999/", "ws://user@host/", "x"]
)
async def test_refuses_a_url(url: str) -> None:
    (line,) = await run_client(url)
    assert line.startswith("NetError")


@contextlib.asynccontextmanager
async def tls_server(certificate: Path) -> AsyncIterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))

    async def handler(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async with websockets.serve(handler, "127.0.0.1", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]


async def test_speaks_tls_with_a_server_that_it_can_verify(certificate: Path) -> None:
    async with tls_server(certificate) as port:
        lines = await run_client(
            f"wss://localhost:{port}/",
            *("text:hello", "expect:1", "binary:30", "expect:30", "shut"),
            ca=str(certificate),
        )
    assert lines == ["open", "text 5 hello", *["binary 1000 0"] * 30, "shut"]


async def test_refuses_tls_it_cannot_verify(certificate: Path) -> None:
    async with tls_server(certificate) as port:
        (nobody,) = await run_client(f"wss://localhost:{port}/")
        (other,) = await run_client(f"wss://127.0.0.1:{port}/", ca=str(certificate))
        (broken,) = await run_client(f"wss://localhost:{port}/", ca=str(CLIENT))
        assert (await run_client(f"wss://127.0.0.1:{port}/", ca="any"))[0] == "open"
    assert nobody.startswith("NetError no certificate to trust")
    assert other.startswith("NetError connection broke")
    assert broken == "NetError tls_ca names no usable certificate file"
