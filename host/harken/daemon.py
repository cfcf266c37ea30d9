"""The gateway: the one place where its parts are put together."""

from __future__ import annotations

import asyncio
import logging
import secrets
import ssl
import time
from collections import Counter
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import msgspec

from harken.agents.agent import AgentConfig
from harken.agents.shared import AgentSource, SharedAgents
from harken.config.check import check_server, is_loopback
from harken.errors import AgentError, AuthError, ConfigError, HarkenError, StartError
from harken.fleet.registry import Registry, default_file
from harken.links.link import Alert
from harken.links.websocket import Limits, WebSocketDoor
from harken.log import TurnLog, bound
from harken.metrics import Metrics
from harken.session.session import Session
from harken.web.app import Gate, build_app
from harken.web.bootstrap import device_identity
from harken.web.door import HttpDoor
from harken.web.guard import bearer, token_among

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from harken.config import ServerSettings, Settings
    from harken.links.link import Link
    from harken.session.timeline import TurnRecord

__all__ = ["Addresses", "AgentSource", "Gateway"]

_LOG = logging.getLogger(__name__)
_DRAIN_S: Final = 2.0
"""Answers that end within it are still heard when the gateway leaves."""
_DRAIN_LOOK_S: Final = 0.02
_END_S: Final = 1.0
"""Then sessions may end by themselves for so long before they are cancelled."""
_UNNAMED: Final = "unnamed-"
"""Begins the name of a device that has none."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the gateway listens.

    Attributes:
        http: e.g. `http://127.0.0.1:8003`.
        websocket: e.g. `ws://127.0.0.1:8000/xiaozhi/v1/`.
    """

    http: str
    websocket: str


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _path(text: str) -> Path:
    return Path(text).expanduser()


def _tls(server: ServerSettings) -> ssl.SSLContext | None:
    if not server.tls_certificate:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(server.tls_certificate, server.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"the certificate {server.tls_certificate} and the key {server.tls_key}"
            f" cannot be used: {error}",
            hint="both must be PEM files that belong together",
        ) from error
    return context


def _pass_on(main: asyncio.Task[None], started: asyncio.Future[Addresses]) -> None:
    """A start that failed is told to who waits for it."""
    if started.done():
        return
    if main.cancelled():
        started.cancel()
        return
    error = main.exception()
    assert error is not None
    started.set_exception(error)


class Gateway:
    """Takes devices, and gives each a session with an agent.

    Starts and stops in its own task, so that `start` and `stop` may be called from any.

    Args:
        settings: checked already, see `harken.config.load`.
        agents: where agents come from; made from the settings unless given.

    Raises:
        ConfigError: it would listen beyond this machine without tokens and TLS.
    """

    def __init__(self, settings: Settings, *, agents: AgentSource | None = None) -> None:
        check_server(settings.server)
        self._settings = settings
        self._agents = SharedAgents(settings, agents)
        self._metrics = Metrics()
        self._connected: Counter[str] = Counter()
        self._sessions: set[Session] = set()
        self._stopping = asyncio.Event()
        self._main: asyncio.Task[None] | None = None
        self._turns: TurnLog | None = None

    @property
    def agent_state(self) -> str:
        """Whether agents can be had: "loading", "ready" or "failed: why"."""
        return self._agents.state

    async def __aenter__(self) -> Self:
        self.addresses = await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> Addresses:
        """Listen; agents are loaded meanwhile, and devices that come wait for them.

        Raises:
            ConfigError: the certificate and key cannot be used.
            StartError: a port, the registry or the turn log cannot be had.
        """
        started: asyncio.Future[Addresses] = asyncio.get_running_loop().create_future()
        self._main = asyncio.create_task(self._run(started), name="gateway")
        self._main.add_done_callback(lambda main: _pass_on(main, started))
        return await started

    async def stop(self) -> None:
        """Take no more devices, end the sessions and let go of everything."""
        self._stopping.set()
        if self._main is not None:
            await self._main

    async def _run(self, started: asyncio.Future[Addresses]) -> None:
        settings, server = self._settings, self._settings.server
        tls = _tls(server)
        with ExitStack() as files:
            if settings.log.turns:
                self._turns = TurnLog(_path(settings.log.turns))
                files.callback(self._turns.close)
            self._registry = Registry(_path(server.registry) if server.registry else default_file())
            files.callback(self._registry.close)
            async with (
                self._websocket(tls) as websocket,
                self._http(tls, websocket) as http,
                asyncio.TaskGroup() as tasks,
            ):
                keep = tasks.create_task(self._agents.keep(), name="agents")
                started.set_result(self._addresses(tls, http, websocket))
                await self._stopping.wait()
                keep.cancel()
                await self._drain()
            await self._agents.close()

    async def _drain(self) -> None:
        """Let answers that are being given come to their end, while no new device is taken."""
        deadline = time.monotonic() + _DRAIN_S
        while any(session.answering for session in self._sessions):
            if time.monotonic() >= deadline:
                return
            await asyncio.sleep(_DRAIN_LOOK_S)

    def _addresses(self, tls: ssl.SSLContext | None, http: int, websocket: int) -> Addresses:
        host, secure = _in_url(self._settings.server.host), "s" if tls else ""
        return Addresses(
            f"http{secure}://{host}:{http}", f"ws{secure}://{host}:{websocket}/xiaozhi/v1/"
        )

    @asynccontextmanager
    async def _websocket(self, tls: ssl.SSLContext | None) -> AsyncGenerator[int]:
        server = self._settings.server
        door = WebSocketDoor(
            server.host,
            server.websocket_port,
            self._serve,
            self._authorise,
            tls,
            limits=Limits(links=server.max_devices),
            wake_words=self._settings.session.wake_words,
        )
        try:
            port = await door.start()
        except StartError as error:
            raise StartError(
                f"cannot take devices: {error.args[0]}",
                hint="choose another port with --websocket-port or server.websocket_port;"
                " 0 takes any free one",
            ) from error
        try:
            yield port
        finally:
            await door.close(_END_S)

    @asynccontextmanager
    async def _http(self, tls: ssl.SSLContext | None, websocket: int) -> AsyncGenerator[int]:
        server = self._settings.server
        scheme = "wss" if tls else "ws"

        def websocket_url(asked: str) -> str:
            host = server.public_host or asked
            return f"{scheme}://{_in_url(host)}:{websocket}/xiaozhi/v1/"

        gate = Gate(
            server=server,
            loopback=is_loopback(server.host),
            websocket_url=websocket_url,
            registry=self._registry,
            metrics=self._metrics,
            agent_state=lambda: self._agents.state,
            connected=self._connected.keys,
        )
        door = HttpDoor(build_app(gate), server.host, server.http_port, tls)
        port = await door.start()
        try:
            yield port
        finally:
            await door.close()

    def _authorise(self, headers: Mapping[str, str]) -> str:
        if self._stopping.is_set():
            self._metrics.connection_refused("leaving")
            raise AuthError("the gateway is going away")
        tokens = self._settings.server.tokens
        if tokens and not token_among(bearer(headers.get("authorization", "")), tokens):
            self._metrics.connection_refused("token")
            raise AuthError(
                "the device showed no token that this gateway knows",
                hint="give it one of server.tokens",
            )
        # A browser tab may not know who it is; it still is one device.
        return device_identity(headers.get("device-id", "")) or f"{_UNNAMED}{secrets.token_hex(4)}"

    async def _serve(self, link: Link) -> None:
        self._connected[link.identity] += 1
        with (
            bound(device=link.identity, session=link.session_id),
            self._metrics.session(link.counters),
        ):
            try:
                await self._converse(link)
            except HarkenError as error:
                self._metrics.session_failed(error.code)
                _LOG.warning("the session ended", exc_info=error)
            except Exception:
                self._metrics.session_failed("internal")
                raise
            finally:
                self._connected[link.identity] -= 1
                self._connected += Counter()  # drops those at zero

    async def _converse(self, link: Link) -> None:
        _LOG.info("connected")
        await self._remember(link.identity)
        try:
            agent = await self._agents.create()
        except AgentError as error:
            link.send(Alert("error", str(error.args[0]), "sad"))
            raise
        persona = self._settings.agent
        session = Session(
            link,
            agent,
            self._settings.session,
            config=AgentConfig(persona.instructions, persona.language),
            on_turn=self._note_turn,
        )
        self._sessions.add(session)
        try:
            await session.run()
        finally:
            self._sessions.discard(session)
        _LOG.info("left")

    async def _remember(self, identity: str) -> None:
        if identity.startswith(_UNNAMED):
            return
        try:
            await asyncio.to_thread(self._registry.seen, identity)
        except StartError:
            # A full disk is no reason not to talk.
            _LOG.exception("the device is served but not remembered")

    def _note_turn(self, record: TurnRecord) -> None:
        if record.errors:
            outcome = "failed"
        elif record.interrupted:
            outcome = "interrupted"
        else:
            outcome = "answered" if record.answer else "empty"
        stages = {stage: ms / 1000 for stage, ms in record.stages.items() if stage != "speech_end"}
        self._metrics.turn(outcome, stages)
        # What was said belongs into the turn log alone, and only where somebody asked for that.
        answered = record.stages.get("heard_first", record.stages.get("downlink_first"))
        with bound(device=record.device, session=record.session, turn=str(record.number)):
            _LOG.info("turn %s%s", outcome, "" if answered is None else f" after {answered:.0f} ms")
        if self._turns is not None:
            self._turns.write(msgspec.json.encode(record))
