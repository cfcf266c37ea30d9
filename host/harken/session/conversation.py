"""A conversation: what the device does and what the agent does, brought together.

Everything here returns at once; the only tasks are those of tools and of `Playout.run`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harken.agents.agent import SpeechStarted, SpeechStopped
from harken.session.answering import Answering
from harken.session.hearing import Hearing
from harken.session.turns import Turns

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine

    from harken.agents.agent import Agent, AgentEvent
    from harken.config.settings import SessionSettings
    from harken.links.link import Link
    from harken.session.playout import Playout
    from harken.session.timeline import TurnRecord
    from harken.session.tools import ToolRegistry

__all__ = ["Conversation"]


class Conversation:
    """The state machine between a link and an agent that has started.

    Args:
        link: the device.
        agent: hears it and answers.
        settings: time-outs, pacing, encoder.
        tools: what the agent may call.
        spawn: runs a coroutine in the session's task group.
        hang_up: ends the session, with a reason.
        on_turn: called with each turn's record when it is over.
        clock: monotonic seconds.

    Attributes:
        on_frame: takes the device's audio; see `Hearing`.
        on_event: takes anything else of the device but tool replies.
        end: the session is over; see `Turns`.
    """

    def __init__(
        self,
        link: Link,
        agent: Agent,
        settings: SessionSettings,
        tools: ToolRegistry,
        *,
        spawn: Callable[[Coroutine[None, None, None]], asyncio.Task[None]],
        hang_up: Callable[[str], None],
        on_turn: Callable[[TurnRecord], None],
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._hang_up = hang_up
        self._clock = clock
        self._turns = turns = Turns(link, agent, settings, on_turn=on_turn, clock=clock)
        self._hearing = Hearing(link, agent, turns, settings, hang_up=hang_up, clock=clock)
        self._answering = Answering(
            link, agent, turns, settings, tools, spawn=spawn, hang_up=hang_up, clock=clock
        )
        self.on_frame = self._hearing.on_frame
        self.on_event = self._hearing.on_event
        self.end = turns.end

    @property
    def playout(self) -> Playout:
        """What the device is given to play."""
        return self._turns.playout

    @property
    def answering(self) -> bool:
        """An answer is being made, sent or played."""
        turn = self._turns.current
        return turn is not None and turn.open

    def on_agent(self, event: AgentEvent) -> None:
        """Something the agent did."""
        self._turns.agent_at = self._clock()
        if isinstance(event, SpeechStarted):
            self._hearing.speech_started(event)
        elif isinstance(event, SpeechStopped):
            self._hearing.speech_stopped(event)
        else:
            self._answering.on_event(event)

    def look(self) -> None:
        """Act on every deadline that has passed; to be called a few times a second."""
        now = self._clock()
        turns, hearing = self._turns, self._hearing
        if turns.playout.active or turns.owed:
            hearing.device_at = max(hearing.device_at, turns.agent_at)
        if now - hearing.device_at > self._settings.idle_timeout_s:
            self._hang_up(f"nothing was heard for {self._settings.idle_timeout_s:g} s")
            return
        turn = turns.current
        if turn is not None and turn.settle_by is not None and now >= turn.settle_by:
            turns.settle()
        hearing.look(now)
        self._answering.look(now)
