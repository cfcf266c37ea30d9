"""The servers that `harken bench relay` measures, each in a process of its own.

`python -m harken_hil.bench.relay_server ours|picows` prints its port and echoes until it is ended.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import picows
import uvloop

from harken.links.websocket import Limits, WebSocketDoor
from harken.session.relay import PassThrough

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harken.links.link import Link

__all__ = ["main"]


async def _ours() -> int:
    """The gateway's own door and link, with nothing behind them but the way back."""

    async def on_link(link: Link) -> None:
        closed = asyncio.Event()
        link.attach(PassThrough(link, lambda _: closed.set()))
        await closed.wait()

    def authorise(headers: Mapping[str, str]) -> str:
        return headers["device-id"]

    return await WebSocketDoor("127.0.0.1", 0, on_link, authorise, limits=Limits()).start()


class _Echo(picows.WSListener):
    """As in picows' own examples; any text is answered, as the load waits for a greeting."""

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type == picows.WSMsgType.BINARY:
            transport.send(picows.WSMsgType.BINARY, frame.get_payload_as_memoryview())
        elif frame.msg_type == picows.WSMsgType.TEXT:
            transport.send(picows.WSMsgType.TEXT, b"{}")
        elif frame.msg_type == picows.WSMsgType.CLOSE:
            transport.disconnect()


async def _picows() -> int:
    server = await picows.ws_create_server(  # pyright: ignore[reportUnknownMemberType]  untyped host
        lambda _: _Echo(), "127.0.0.1", 0
    )
    return int(server.sockets[0].getsockname()[1])


async def _serve(kind: str) -> None:
    port = await (_ours() if kind == "ours" else _picows())
    print(port, flush=True)
    # Ends with its parent, whatever becomes of it.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


def main() -> None:
    """Run the server named on the command line until standard input ends."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(sys.argv[1]))


if __name__ == "__main__":
    main()
