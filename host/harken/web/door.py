"""The HTTP socket: opens it, and gives every connection a deadline."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from aiohttp import web

from harken.errors import StartError

if TYPE_CHECKING:
    import ssl

__all__ = ["HttpDoor"]

_CONNECTION_S: Final = 10.0
"""One request and its answer take milliseconds; who needs longer holds the connection open."""
_MAX_CONNECTIONS: Final = 256
_LEAVE_S: Final = 1.0


class _Refused(asyncio.Protocol):
    """A connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.abort()


class HttpDoor:
    """Serves an application on one port.

    Args:
        app: what answers.
        host: address to listen on.
        port: 0 takes any free one.
        tls: certificate and key, if the connection is encrypted.
        connection_s: every connection is cut off after so long.
    """

    def __init__(
        self,
        app: web.Application,
        host: str,
        port: int,
        tls: ssl.SSLContext | None = None,
        *,
        connection_s: float = _CONNECTION_S,
    ) -> None:
        self._runner = web.AppRunner(
            app,
            access_log=None,
            auto_decompress=False,
            handler_cancellation=True,
            shutdown_timeout=_LEAVE_S,
        )
        self._host = host
        self._port = port
        self._tls = tls
        self._connection_s = connection_s
        self._server: asyncio.Server | None = None
        self._deadlines: set[asyncio.TimerHandle] = set()

    async def start(self) -> int:
        """Listen; returns the port.

        Raises:
            StartError: the port cannot be had.
        """
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                self._accept,
                self._host,
                self._port,
                ssl=self._tls,
                ssl_handshake_timeout=self._connection_s if self._tls else None,
            )
        except OSError as error:
            await self._runner.cleanup()
            raise StartError(
                f"cannot listen for HTTP on {self._host}:{self._port}: {error.strerror or error}",
                hint="choose another with --http-port or server.http_port; 0 takes any free one",
            ) from error
        return int(self._server.sockets[0].getsockname()[1])

    def _accept(self) -> asyncio.Protocol:
        assert self._runner.server is not None
        if len(self._runner.server.connections) >= _MAX_CONNECTIONS:
            return _Refused()
        handler = self._runner.server()

        def cut_off() -> None:
            self._deadlines.discard(deadline)
            if handler.transport is not None:
                handler.transport.abort()

        deadline = asyncio.get_running_loop().call_later(self._connection_s, cut_off)
        self._deadlines.add(deadline)
        return handler

    async def close(self) -> None:
        """Stop listening and end every connection; safe to call twice."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        for deadline in self._deadlines:
            deadline.cancel()
        self._deadlines.clear()
        await self._runner.cleanup()
