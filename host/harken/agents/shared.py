"""What the agents of all sessions share: loaded once, in the background, and tried again."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from harken.errors import AgentError, HarkenError

if TYPE_CHECKING:
    from harken.agents.agent import Agent
    from harken.config import Settings

__all__ = ["AgentSource", "SharedAgents"]

_LOG = logging.getLogger(__name__)
_PREPARE_S: Final = 120.0
"""Loading models from a cold disk; who connects meanwhile waits as long."""
_RETRY_S: Final = 5.0
"""An agent that could not be had is tried again for a device that comes this much later."""
_LEAVE_S: Final = 1.0
"""How long agents may take to let go of what they share."""


class AgentSource(Protocol):
    """Makes the agents of sessions out of what they share."""

    async def prepare(self) -> None:
        """Load what all sessions share.

        Raises:
            HarkenError: it cannot be had.
        """
        ...

    def create(self) -> Agent:
        """The agent of one session; only after `prepare`."""
        ...

    async def close(self) -> None:
        """Let go of what is shared."""
        ...


class SharedAgents:
    """Prepares what agents share in the background, and again after a failure.

    Args:
        settings: what agents are to be.
        source: where they come from; made from the settings unless given.
    """

    def __init__(self, settings: Settings, source: AgentSource | None) -> None:
        self._settings = settings
        self._source = source
        self._error: HarkenError | None = None
        self._failed_at = 0.0
        self._settled = asyncio.Event()
        self._wanted = asyncio.Event()

    @property
    def state(self) -> str:
        """What `/healthz` says: "loading", "ready" or "failed: why"."""
        if not self._settled.is_set():
            return "loading"
        return f"failed: {self._error}" if self._error else "ready"

    async def keep(self) -> None:
        """Prepare; after a failure, once more for each device that comes later."""
        try:
            while not await self._attempt():
                await self._wanted.wait()
                self._wanted.clear()
        except asyncio.CancelledError:
            # Who waits for an agent must not hold up the exit.
            self._error = AgentError("the gateway is going away")
            self._failed_at = math.inf
            self._settled.set()
            raise

    async def _attempt(self) -> bool:
        try:
            if self._source is None:
                self._source = await asyncio.to_thread(_build_agents, self._settings)
            async with asyncio.timeout(_PREPARE_S):
                await self._source.prepare()
        except Exception as error:
            _LOG.exception("the agent cannot be had")
            if isinstance(error, HarkenError):
                self._error = error
            else:
                self._error = AgentError("internal error", hint="see the log")
            self._failed_at = time.monotonic()
        else:
            _LOG.info("the agent is ready")
            self._error = None
        self._settled.set()
        return self._error is None

    async def create(self) -> Agent:
        """An agent for a new session, once they can be had.

        Raises:
            AgentError: they cannot, or not in time.
        """
        if self._error and time.monotonic() - self._failed_at >= _RETRY_S:
            self._settled.clear()
            self._wanted.set()
        try:
            async with asyncio.timeout(_PREPARE_S):
                await self._settled.wait()
        except TimeoutError as error:
            raise AgentError("the agent is still loading", hint="try again later") from error
        if self._error is not None or self._source is None:
            raise AgentError(f"the agent cannot be had: {self._error}") from self._error
        return self._source.create()

    async def close(self) -> None:
        """Let go of everything, as far as that is possible in time."""
        if self._source is None:
            return
        try:
            async with asyncio.timeout(_LEAVE_S):
                await self._source.close()
        except TimeoutError:
            _LOG.warning("the agent does not let go in %g s", _LEAVE_S)


def _build_agents(settings: Settings) -> AgentSource:
    # Imported here, in a thread: speech engines take a second to import.
    from harken.agents import factory
    from harken_models.store import Store

    directory = settings.models.directory
    return factory.build(settings.agent, Store(Path(directory).expanduser()) if directory else None)
