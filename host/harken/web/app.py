"""The gateway's HTTP pages: bootstrap, health, metrics, devices."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from harken.errors import HarkenError, MalformedError
from harken.metrics import CONTENT_TYPE
from harken.web.bootstrap import boot_answer, read_report
from harken.web.guard import bearer, host_of, is_foreign, token_among

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from harken.config import ServerSettings
    from harken.fleet.registry import Registry
    from harken.metrics import Metrics
    from harken.web.bootstrap import BootReport

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

__all__ = ["Gate", "build_app"]

_LOG = logging.getLogger(__name__)
_MAX_BODY: Final = 64 * 1024
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_OPEN_PATHS: Final = ("/healthz", "/xiaozhi/ota/", "/xiaozhi/ota")
"""Pages that need no token: the bootstrap names no secret to who shows none."""


@dataclass(frozen=True, slots=True)
class Gate:
    """What the pages need of the gateway.

    Attributes:
        server: its settings.
        loopback: whether it listens on loopback alone.
        websocket_url: of the device WebSocket, for the host that the device asked.
        registry: devices seen.
        metrics: what is counted.
        agent_state: "ready", "loading" or "failed: why".
        connected: identities of the devices connected now.
    """

    server: ServerSettings
    loopback: bool
    websocket_url: Callable[[str], str]
    registry: Registry
    metrics: Metrics
    agent_state: Callable[[], str]
    connected: Callable[[], Collection[str]]


def build_app(gate: Gate) -> web.Application:
    """The aiohttp application."""
    pages = _Pages(gate)

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await pages.guarded(request, handler)

    app = web.Application(middlewares=[guard], client_max_size=_MAX_BODY)
    for path in ("/xiaozhi/ota/", "/xiaozhi/ota"):
        app.router.add_post(path, pages.bootstrap)
        app.router.add_get(path, pages.bootstrap)
    app.router.add_get("/healthz", pages.health)
    app.router.add_get("/metrics", pages.counted)
    app.router.add_get("/api/devices", pages.devices)
    return app


def _refusal(status: int, what: str, hint: str = "") -> web.Response:
    return web.json_response({"error": what, "hint": hint}, status=status)


class _Pages:
    """One method a page."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The answer of a page to who may ask it, and a reason to everybody else."""
        try:
            response = self._refused(request) or await handler(request)
        except web.HTTPException as error:
            response = _refusal(error.status, error.reason)
        except HarkenError as error:
            _LOG.warning("%s failed", request.path, exc_info=error)
            response = _refusal(503, f"this page cannot be had now [{error.code}]")
        response.headers.update(_HEADERS)
        # A connection carries one request, so that its deadline can end it whole.
        response.force_close()
        return response

    def _refused(self, request: web.Request) -> web.Response | None:
        gate = self._gate
        if is_foreign(request.headers, loopback=gate.loopback):
            gate.metrics.connection_refused("host")
            return _refusal(403, "this host or origin may not ask", "use the gateway's own address")
        if request.path in _OPEN_PATHS or not gate.server.tokens:
            return None
        if token_among(bearer(request.headers.get("Authorization", "")), gate.server.tokens):
            return None
        gate.metrics.connection_refused("token")
        return _refusal(401, "a token is needed", "send `Authorization: Bearer TOKEN`")

    async def bootstrap(self, request: web.Request) -> web.Response:
        """Tell a device where to connect, and remember it."""
        gate = self._gate
        try:
            report = read_report(request.headers, await request.read())
        except MalformedError as error:
            return _refusal(400, str(error))
        tokens = gate.server.tokens
        shown = bearer(request.headers.get("Authorization", ""))
        known = not tokens or token_among(shown, tokens)
        if known and report.identity:
            await self._remember(report)
        answer = boot_answer(
            websocket_url=gate.websocket_url(host_of(request.headers.get("Host", ""))),
            token=shown if tokens and known else "",
            version=gate.server.websocket_version,
        )
        return web.json_response(answer)

    async def _remember(self, report: BootReport) -> None:
        seen = self._gate.registry.seen
        try:
            await asyncio.to_thread(
                seen, report.identity, board=report.board, firmware=report.firmware
            )
        except HarkenError:
            # A full disk is no reason not to let a device boot.
            _LOG.exception("a booting device is answered but not remembered")

    async def health(self, _request: web.Request) -> web.Response:
        """Whether devices can be served."""
        agent = self._gate.agent_state()
        failed = agent.startswith("failed")
        body = {
            "status": "failed" if failed else "ok",
            "agent": agent,
            "sessions": self._gate.metrics.live_sessions,
        }
        return web.json_response(body, status=503 if failed else 200)

    async def counted(self, _request: web.Request) -> web.Response:
        """Everything that is counted."""
        body = self._gate.metrics.exposition()
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})

    async def devices(self, _request: web.Request) -> web.Response:
        """Devices seen, and which of them are connected."""
        connected = self._gate.connected()
        records = await asyncio.to_thread(self._gate.registry.devices)
        listed: list[dict[str, Any]] = [
            {**asdict(record), "connected": record.identity in connected} for record in records
        ]
        return web.json_response({"devices": listed})
