"""The door for devices that speak xiaozhi over WebSocket.

One hostile device must not move the others: what it may send, hold open and leave unread is
bounded by `Limits`, and everything it gets wrong is counted, not raised.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import picows

from harken.errors import AuthError, StartError, printable
from harken.links.limits import Limits
from harken.links.typed import plain_words
from harken.links.websocket_link import WebSocketLink
from harken.links.xiaozhi import header_values

if TYPE_CHECKING:
    import ssl as tls
    from collections.abc import Awaitable, Callable, Collection, Mapping

    from harken.links.link import Link

__all__ = ["Limits", "WebSocketDoor"]

_LOG = logging.getLogger(__name__)
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_MAX_IDENTITY = 64

# picows reports every broken frame as an error; links say themselves, and once, why they ended.
_PICOWS_LOG = logging.getLogger(f"{__name__}.picows")
_PICOWS_LOG.setLevel(logging.CRITICAL)


class WebSocketDoor:
    """Takes WebSocket connections of devices and makes a live link of each.

    Args:
        host: address to bind.
        port: to bind; 0 takes any free one.
        on_link: runs the session of a link that said hello; the link is closed when it returns.
            What it raises is logged and ends that link alone.
        authorise: given the handshake's headers in lower case (and what a browser put into the
            query: `device-id`, `client-id`, `authorization`), returns the device's identity or
            raises `AuthError`.
        ssl: TLS is spoken where this is given.
        limits: what one device may do.
        wake_words: of which a device says that it heard them; other text in their place was typed
            (`harken.links.typed`). `None`: every text is a wake word.
        origins: web pages that may connect beside those of this very host and port.
    """

    def __init__(
        self,
        host: str,
        port: int,
        on_link: Callable[[Link], Awaitable[None]],
        authorise: Callable[[Mapping[str, str]], str],
        ssl: tls.SSLContext | None = None,
        *,
        limits: Limits | None = None,
        wake_words: Collection[str] | None = None,
        origins: Collection[str] = (),
    ) -> None:
        self._host = host
        self._port = port
        self._on_link = on_link
        self._authorise = authorise
        self._ssl = ssl
        self._limits = limits or Limits()
        self._wake_words = None if wake_words is None else plain_words(wake_words)
        self._origins = frozenset(origins)
        self._server: asyncio.Server | None = None
        self._links: dict[WebSocketLink, asyncio.Task[None] | None] = {}

    @property
    def links(self) -> int:
        """Connections that are open, whether they said hello or not."""
        return len(self._links)

    async def start(self) -> int:
        """Bind and listen; returns the port.

        Raises:
            StartError: the address or port cannot be had.
        """
        limits = self._limits
        tls_wait: dict[str, Any] = (
            {"ssl_handshake_timeout": limits.handshake_s} if self._ssl else {}
        )
        try:
            self._server = await picows.ws_create_server(  # pyright: ignore[reportUnknownMemberType]
                self._admit,
                self._host,
                self._port,
                ssl=self._ssl,
                websocket_handshake_timeout=limits.handshake_s,
                enable_auto_ping=True,
                auto_ping_idle_timeout=limits.ping_s,
                auto_ping_reply_timeout=limits.ping_s,
                auto_ping_strategy=picows.WSAutoPingStrategy.PING_PERIODICALLY,
                max_frame_size=limits.message_bytes,
                read_buffer_init_size=4096,
                logger_name=_PICOWS_LOG,
                use_aiofastnet=False,
                **tls_wait,
            )
        except OSError as error:
            raise _start_error(self._host, self._port, error) from error
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self, deadline: float = 5.0) -> None:
        """Take no more devices, say goodbye to those that are here, and end.

        Args:
            deadline: seconds after which sessions that still run are cancelled.
        """
        if self._server is None:
            return
        self._server.close()
        for link in list(self._links):
            link.cut("the gateway is going away", picows.WSCloseCode.GOING_AWAY)
        tasks = {task for task in self._links.values() if task is not None}
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=deadline)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        for link in list(self._links):
            await link.close()
        await self._server.wait_closed()

    def _admit(
        self, request: picows.WSUpgradeRequest
    ) -> WebSocketLink | picows.WSUpgradeResponseWithListener:
        """The listener of a new connection, or why there is none."""
        if len(self._links) >= self._limits.links:
            return _refuse(503, "this gateway is full, try again later")
        url = urlsplit(request.path.decode("latin-1")[:2048])
        query = dict(parse_qsl(url.query[:2048]))
        headers = header_values(request.headers, query)
        if not self._may_come_from(headers):
            return _refuse(403, "pages of other sites may not connect")
        try:
            identity = self._authorise(headers)
        except AuthError as error:
            _LOG.info("refused %s: %s", printable(headers.get("device-id", "?"), 64), error)
            return _refuse(401, "not authorised")
        except Exception:
            _LOG.exception("the check of a device's identity failed")
            return _refuse(500, "internal error")
        _tolerate_connection_header(request)
        link = WebSocketLink(
            identity=printable(identity, _MAX_IDENTITY),
            session_id=secrets.token_hex(16),
            header_version=headers.get("protocol-version", ""),
            limits=self._limits,
            wake_words=self._wake_words,
            on_hello=self._serve,
            on_gone=self._forget,
        )
        self._links[link] = None
        return link

    def _may_come_from(self, headers: Mapping[str, str]) -> bool:
        """Browsers send an Origin; devices do not."""
        origin = headers.get("origin")
        if not origin or origin in self._origins:
            return True
        try:
            page = urlsplit(origin)
        except ValueError:
            return False
        here = page.netloc == headers.get("host", "")
        return here and (self._host not in _LOOPBACK or page.hostname in _LOOPBACK)

    def _serve(self, link: WebSocketLink) -> None:
        task = asyncio.get_running_loop().create_task(
            self._session(link), name=f"session of {link.identity}"
        )
        self._links[link] = task
        task.add_done_callback(lambda _: self._forget(link))

    async def _session(self, link: WebSocketLink) -> None:
        reason = "the session ended"
        try:
            await self._on_link(link)
        except Exception:
            _LOG.exception("the session of %s failed", link.identity)
            reason = "internal error"
        finally:
            await link.close(reason)

    def _forget(self, link: WebSocketLink) -> None:
        task = self._links.get(link)
        if link.gone and (task is None or task.done()):
            self._links.pop(link, None)


def _refuse(status: int, why: str) -> picows.WSUpgradeResponseWithListener:
    response = picows.WSUpgradeResponse.create_error_response(status, why.encode())
    return picows.WSUpgradeResponseWithListener(response, None)


def _tolerate_connection_header(request: picows.WSUpgradeRequest) -> None:
    """Some browsers send `keep-alive, Upgrade`, which picows does not take for an upgrade."""
    tokens = [token.strip().lower() for token in request.headers.get("connection", "").split(",")]
    if "upgrade" in tokens:
        request.headers["connection"] = "upgrade"


def _start_error(host: str, port: int, error: OSError) -> StartError:
    if error.errno == errno.EADDRINUSE:
        return StartError(
            f"port {port} of {host} is in use", hint="choose another one, or 0 for any free one"
        )
    return StartError(f"cannot listen on {host} port {port}: {error.strerror or error}")
