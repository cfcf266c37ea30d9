"""One device's session: starts the agent, runs the conversation, ends both."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from harken.agents.agent import AgentConfig
from harken.errors import AgentError, HarkenError, LinkClosedError, ProtocolError, ToolError
from harken.links.link import Alert, AudioFrame, ToolReply, ToolRequest
from harken.session.conversation import Conversation
from harken.session.tools import DeviceTools, ToolRegistry

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping
    from typing import Any

    from harken.agents.agent import Agent
    from harken.config.settings import SessionSettings
    from harken.links.link import Link, Uplink
    from harken.session.timeline import TurnRecord
    from harken.session.tools import Tool

__all__ = ["Session"]

_LOG = logging.getLogger(__name__)
_START_S = 30.0
_CLOSE_S = 5.0
_LOOK_EVERY_S = 0.25
_MOST_EARLY = 600
"""What a device may send while the agent gets ready: ten seconds of 20 ms packets and more."""


class Session:
    """The conversation of one device with one agent, over one link.

    Args:
        link: the device; the session takes all it sends.
        agent: not yet started; the session starts and closes it.
        settings: time-outs, pacing, encoder.
        config: persona and language; tools are filled in here.
        tools: of the gateway, offered beside the device's own.
        on_turn: called with the record of each turn; what it raises is logged.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        link: Link,
        agent: Agent,
        settings: SessionSettings,
        *,
        config: AgentConfig | None = None,
        tools: Iterable[Tool] = (),
        on_turn: Callable[[TurnRecord], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._link = link
        self._agent = agent
        self._settings = settings
        self._config = config or AgentConfig()
        self._registry = ToolRegistry(tools, settings.tool_timeout_s)
        self._device_tools = DeviceTools(self._send_request, settings.tool_timeout_s)
        self._on_turn = on_turn
        self._clock = clock
        self._early: deque[AudioFrame | Uplink] = deque()
        self._conversation: Conversation | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._group: asyncio.TaskGroup | None = None
        self._ended = asyncio.Event()
        self._reason = ""

    async def run(self) -> None:
        """Serve the device until it leaves, is let go, or the agent fails for good."""
        self._link.attach(self)
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                self._spawn(self._serve())
                await self._ended.wait()
                for task in list(self._tasks):
                    task.cancel()
        finally:
            self._finish()
            try:
                async with asyncio.timeout(_CLOSE_S):
                    await self._agent.close()
            except TimeoutError:
                _LOG.warning("the agent of %s does not close", self._link.identity)
            await self._link.close(self._reason)

    @property
    def answering(self) -> bool:
        """An answer is being made, sent or played."""
        return self._conversation is not None and self._conversation.answering

    # -- what the link calls -----------------------------------------------------------------

    def on_frame(self, frame: AudioFrame) -> None:
        """Audio from the device."""
        if self._conversation is None:
            self._keep(frame)
        else:
            self._conversation.on_frame(frame)

    def on_event(self, event: Uplink) -> None:
        """Anything else from the device."""
        if isinstance(event, ToolReply):
            self._tool_reply(event.payload)
        elif self._conversation is None:
            self._keep(event)
        else:
            self._tell(self._conversation, event)

    def on_closed(self, reason: str) -> None:
        """The link is closed."""
        self._hang_up(reason)

    # -- getting ready -----------------------------------------------------------------------

    async def _serve(self) -> None:
        """Start everything, then bring what the agent does to the device."""
        try:
            conversation = await self._start()
        except HarkenError as error:
            _LOG.error("no session for %s: %s", self._link.identity, error)
            self._alert(error)
            self._hang_up(f"the agent could not start: {error}")
            return
        self._spawn(conversation.playout.run())
        self._spawn(self._look(conversation))
        try:
            await self._follow_agent(conversation)
        except LinkClosedError:
            return
        self._hang_up("the agent ended the session")

    async def _start(self) -> Conversation:
        await self._ask_for_tools()
        config = replace(self._config, tools=self._registry.specs)
        try:
            async with asyncio.timeout(_START_S):
                await self._agent.start(config)
        except TimeoutError:
            raise AgentError(f"the agent was not ready within {_START_S:g} s") from None
        conversation = Conversation(
            self._link,
            self._agent,
            self._settings,
            self._registry,
            spawn=self._spawn,
            hang_up=self._hang_up,
            on_turn=self._turn_over,
            clock=self._clock,
        )
        self._conversation = conversation
        while self._early:
            item = self._early.popleft()
            if isinstance(item, AudioFrame):
                conversation.on_frame(item)
            else:
                self._tell(conversation, item)
        return conversation

    async def _ask_for_tools(self) -> None:
        if "mcp" not in self._link.hello.features:
            return
        try:
            self._registry.add(await self._device_tools.open())
        except ToolError as error:
            _LOG.warning("no tools of %s: %s", self._link.identity, error)

    def _keep(self, item: AudioFrame | Uplink) -> None:
        if len(self._early) >= _MOST_EARLY:
            self._hang_up("the device did not wait for the session to begin")
            return
        self._early.append(item)

    # -- running -----------------------------------------------------------------------------

    async def _follow_agent(self, conversation: Conversation) -> None:
        async for event in self._agent.events():
            conversation.on_agent(event)
            if conversation.playout.full:
                await conversation.playout.room()

    async def _look(self, conversation: Conversation) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            try:
                conversation.look()
            except LinkClosedError:
                return

    def _tell(self, conversation: Conversation, event: Uplink) -> None:
        try:
            conversation.on_event(event)
        except LinkClosedError:
            _LOG.debug("%s left before it could be answered", self._link.identity)

    def _tool_reply(self, payload: Mapping[str, Any]) -> None:
        try:
            self._device_tools.on_reply(payload)
        except ProtocolError as error:
            refused = self._link.counters.refused
            refused[error.code] = refused.get(error.code, 0) + 1
            _LOG.debug("refused of %s: %s", self._link.identity, error)

    def _send_request(self, payload: Mapping[str, Any]) -> None:
        self._link.send(ToolRequest(payload))

    def _turn_over(self, record: TurnRecord) -> None:
        if self._on_turn is None:
            return
        try:
            self._on_turn(record)
        except Exception:
            _LOG.exception("the record of a turn could not be taken")

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        assert self._group is not None
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # -- ending ------------------------------------------------------------------------------

    def _hang_up(self, reason: str) -> None:
        self._reason = self._reason or reason
        self._ended.set()

    def _alert(self, error: HarkenError) -> None:
        try:
            self._link.send(Alert("error", str(error)[:200], "sad"))
        except LinkClosedError:
            return

    def _finish(self) -> None:
        """Close the record of a turn that the end cut short."""
        if self._conversation is not None:
            self._conversation.end(self._reason)
