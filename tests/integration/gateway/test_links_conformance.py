"""The xiaozhi WebSocket dialect does what every dialect must."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import websockets

from harken.links.conformance import check_link
from harken.links.link import (
    Abort,
    ListenStart,
    ListenStop,
    Sentence,
    SpeechStart,
    SpeechStop,
)
from harken.links.websocket import WebSocketDoor
from harken.wire.binary import pack, unpack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from harken.links.link import Downlink, Link, Uplink
    from harken.wire.binary import Version

pytestmark = pytest.mark.integration

STATES = {"start": SpeechStart, "sentence_start": Sentence, "stop": SpeechStop}


class WebSocketPeer:
    """A device over the `websockets` client."""

    def __init__(self, socket: websockets.ClientConnection, version: Version) -> None:
        self._socket = socket
        self._version = version

    async def send_audio(self, packet: bytes) -> None:
        await self._socket.send(pack(self._version, packet))

    async def send(self, event: Uplink) -> None:
        message: dict[str, Any]
        match event:
            case ListenStart(mode=mode):
                message = {"type": "listen", "state": "start", "mode": mode}
            case ListenStop():
                message = {"type": "listen", "state": "stop"}
            case Abort(reason=reason):
                message = {"type": "abort", "reason": reason}
            case _:
                raise NotImplementedError(event)
        await self._socket.send(json.dumps(message))

    async def receive(self) -> bytes | type[Downlink]:
        try:
            message = await self._socket.recv()
        except websockets.ConnectionClosed:
            raise EOFError from None
        if isinstance(message, bytes):
            return unpack(self._version, message).data
        return STATES[json.loads(message)["state"]]

    async def close(self) -> None:
        await self._socket.close()

    async def vanish(self) -> None:
        self._socket.transport.abort()


@pytest.mark.parametrize("version", [1, 2, 3])
async def test_every_promise_of_a_link(version: Version) -> None:
    @asynccontextmanager
    async def make_pair() -> AsyncIterator[tuple[Link, WebSocketPeer]]:
        opened: asyncio.Future[Link] = asyncio.get_running_loop().create_future()
        leave = asyncio.Event()

        async def on_link(link: Link) -> None:
            opened.set_result(link)
            await leave.wait()

        door = WebSocketDoor("127.0.0.1", 0, on_link, lambda _: "device")
        port = await door.start()
        try:
            async with websockets.connect(f"ws://127.0.0.1:{port}/") as socket:
                hello = {"type": "hello", "version": version, "transport": "websocket"}
                await socket.send(json.dumps(hello))
                await socket.recv()
                yield await opened, WebSocketPeer(socket, version)
        finally:
            leave.set()
            await door.close(1.0)

    await check_link(make_pair)
