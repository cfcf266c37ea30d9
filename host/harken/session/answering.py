"""What the agent says: given to the turn that it answers, and to the device."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from harken.agents import agent as said
from harken.errors import ToolError, printable
from harken.links.link import Transcript

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine

    from harken.config.settings import SessionSettings
    from harken.links.link import Link
    from harken.session.tools import ToolRegistry
    from harken.session.turn import Turn
    from harken.session.turns import Turns

__all__ = ["Answering"]

_LOG = logging.getLogger(__name__)
_CANCEL_S: Final = 5.0
"""An agent that was interrupted has to say so within this time."""


class Answering:
    """The agent's part of each turn, from the transcript to the last of the answer.

    Args:
        link: the device.
        agent: answers; started.
        turns: of this device.
        settings: how long the agent may be silent.
        tools: what the agent may call.
        spawn: runs a coroutine in the session's task group.
        hang_up: ends the session, with a reason.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        link: Link,
        agent: said.Agent,
        turns: Turns,
        settings: SessionSettings,
        tools: ToolRegistry,
        *,
        spawn: Callable[[Coroutine[None, None, None]], asyncio.Task[None]],
        hang_up: Callable[[str], None],
        clock: Callable[[], float],
    ) -> None:
        self._link = link
        self._agent = agent
        self._turns = turns
        self._settings = settings
        self._tools = tools
        self._spawn = spawn
        self._hang_up = hang_up
        self._clock = clock

    def on_event(self, event: said.AgentEvent) -> None:
        """Something of an answer."""
        owed = self._turns.owed
        if not owed:
            _LOG.debug("the agent says %s between answers", type(event).__name__)
            return
        ends = isinstance(event, said.AnswerDone | said.AnswerCancelled | said.AgentFailed)
        turn = owed.popleft() if ends else owed[0]
        if not turn.cancelled:
            self._take(turn, event)
        elif isinstance(event, said.AgentFailed) and event.fatal:
            self._hang_up(f"the agent failed: {event.message}")

    def _take(self, turn: Turn, event: said.AgentEvent) -> None:
        turns = self._turns
        match event:
            case said.UserTranscript(text=text, final=True):
                turn.timeline.stamp("stt_final", event.at)
                turn.transcript = text
                if text:
                    self._link.send(Transcript(text))
            case said.AnswerStage(stage=stage):
                turn.timeline.stamp(stage, event.at)
            case said.AnswerText(text=text):
                turns.speak(turn)
                turn.answer.append(text)
                turns.playout.text(text)
            case said.AnswerAudio(pcm=pcm, rate=rate):
                turns.speak(turn)
                turn.timeline.stamp("tts_first", event.at)
                turns.playout.audio(pcm, rate)
            case said.ToolCall():
                self._call(turn, event)
            case said.AnswerDone(text=text):
                if text:
                    turn.answer = [text]
                turns.said_all(turn)
            case said.AnswerCancelled():
                turns.silence(turn)
            case said.AgentFailed():
                turns.fail(turn, f"{event.message} {event.hint}".strip(), event.code)
                if event.fatal:
                    self._hang_up(f"the agent failed: {event.message}")
            case _:
                pass

    def _call(self, turn: Turn, call: said.ToolCall) -> None:
        async def run() -> None:
            try:
                content, failed = await self._tools.call(call.name, call.arguments), False
            except ToolError as error:
                content, failed = str(error), True
                turn.errors.append(printable(content))
            self._turns.agent_at = self._clock()
            if not turn.cancelled:
                self._agent.tool_result(call.call_id, content, is_error=failed)

        turn.tools.append(call.name)
        task = self._spawn(run())
        turn.tool_tasks.add(task)
        task.add_done_callback(turn.tool_tasks.discard)

    def look(self, now: float) -> None:
        """Give up an answer that does not come."""
        turns = self._turns
        if not turns.owed:
            return
        turn = turns.owed[0]
        silent_s = now - turns.agent_at
        if turn.cancelled:
            if silent_s > _CANCEL_S:
                _LOG.warning("the agent of %s ignores an interruption", self._link.identity)
                turns.owed.popleft()
        elif (
            silent_s > self._settings.answer_timeout_s
            and not turn.tool_tasks
            and not turns.playout.full
        ):
            why = f"the agent was silent for {silent_s:.0f} s"
            self._agent.interrupt(turns.fail(turn, why, "agent_timeout"))
            turns.agent_at = now
