"""The agent that goes by three stages: speech to text, a language model, text to speech."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from harken.agents.agent import AgentConfig, SpeechStarted, SpeechStopped
from harken.agents.history import History
from harken.agents.listening import Listener
from harken.agents.outbox import Outbox
from harken.agents.turn import Turn
from harken.audio.vad import RATE, SileroVad
from harken.errors import AgentError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from harken.agents.agent import AgentEvent, Endpoint
    from harken.agents.engines import Engines
    from harken.agents.listening import Heard
    from harken.config import AgentSettings

__all__ = ["CascadeAgent"]

_CLOSE_DEADLINE_S: Final = 5.0
_MOST_TEXT: Final = 2_000


class CascadeAgent:
    """An `Agent` (see `agent.py`) for one session.

    When the user falls silent it starts on the answer at once, in private, and has it ready when
    the turn turns out to be over; if the user goes on, what was begun is dropped.

    Args:
        engines: prepared, shared with other sessions.
        settings: of the agent.
    """

    def __init__(self, engines: Engines, settings: AgentSettings) -> None:
        self._engines = engines
        self._settings = settings
        self._config = AgentConfig()
        self._outbox = Outbox()
        self._history = History()
        self._listener = Listener(None, settings.endpoint)
        self._answer: Turn | None = None  # the last one released
        self._ahead: Turn | None = None  # begun in a pause, not released
        self._running: set[asyncio.Task[None]] = set()
        self._reading: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._reading.set_result(None)
        self._closed = False
        self._count = 0
        self._endpoint: Endpoint = "client"
        self._ended_one = False  # a turn of this listening, by itself

    @property
    def input_rate(self) -> int:
        """See `Agent.input_rate`."""
        return RATE

    async def start(self, config: AgentConfig) -> None:
        """See `Agent.start`."""
        self._config = config
        vad = SileroVad(self._engines.vad) if self._engines.vad else None
        self._listener = Listener(vad, self._settings.endpoint)

    def listen(self, endpoint: Endpoint) -> None:
        """See `Agent.listen`.

        Raises:
            AgentError: it shall end the turn, and there is no voice activity model.
        """
        if endpoint == "agent" and self._engines.vad is None:
            raise AgentError(
                "the end of a turn cannot be heard without the voice activity model",
                hint="run `harken models pull silero-vad`",
            )
        self.clear()
        self._endpoint = endpoint
        self._ended_one = False

    def feed(self, pcm: bytes) -> None:
        """See `Agent.feed`."""
        for heard in self._listener.feed(pcm):
            self._heed(heard)
            if heard.kind == "ended" and self._endpoint == "agent":
                break

    def _heed(self, heard: Heard) -> None:
        ends = self._endpoint == "agent"
        if heard.kind == "started" and ends:
            self._outbox.put(SpeechStarted())
        elif heard.kind == "paused" and self._ahead is None:
            self._ahead = self._begin(self._listener.utterance())
        elif heard.kind == "resumed":
            self._drop_ahead()
        elif heard.kind == "ended" and ends:
            self._outbox.put(SpeechStopped(heard.ms_ago))
            self._answer_heard()
            self._ended_one = True

    def commit(self) -> None:
        """See `Agent.commit`."""
        if self._ended_one and not self._listener.spoke:
            self.clear()
        else:
            self._answer_heard()

    def _answer_heard(self) -> None:
        """The user's turn is over: answer it, or go on with what was begun ahead."""
        spoken = self._listener.utterance()
        self._listener.clear()
        turn, self._ahead = self._ahead, None
        self._release(turn or self._begin(spoken))

    def clear(self) -> None:
        """See `Agent.clear`."""
        self._listener.clear()
        self._drop_ahead()

    def say(self, text: str) -> None:
        """See `Agent.say`."""
        self.clear()
        if text := text.strip()[:_MOST_TEXT]:
            self._release(self._begin(b"", text))

    def events(self) -> AsyncIterator[AgentEvent]:
        """See `Agent.events`."""
        return self._outbox.events()

    def interrupt(self, played_ms: int) -> None:
        """See `Agent.interrupt`.

        An answer that is complete but still being played counts from then on as heard up to
        `played_ms`; its `AnswerDone` stands if it was taken already.
        """
        if self._answer is not None:
            self._answer.cancel()
            self._answer.exchange.heard_ms = max(0.0, float(played_ms))

    def tool_result(self, call_id: str, content: str, *, is_error: bool = False) -> None:
        """See `Agent.tool_result`."""
        if self._answer is not None:
            self._answer.tool_result(call_id, content, is_error=is_error)

    async def close(self) -> None:
        """See `Agent.close`."""
        self._closed = True
        self.clear()
        if self._answer is not None:
            self._answer.cancel()
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=_CLOSE_DEADLINE_S)
        self._outbox.close()

    def _begin(self, spoken: bytes, typed: str = "") -> Turn:
        """A turn under way, not released yet."""
        self._count += 1
        turn = Turn(
            self._count,
            self._settings,
            self._config,
            self._engines,
            self._history,
            self._outbox,
            self._has_read,
        )
        self._keep(turn.start(spoken, typed)).add_done_callback(self._turn_ended)
        return turn

    def _keep(self, task: asyncio.Task[None]) -> asyncio.Task[None]:
        """Own a task until it ends."""
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    def _turn_ended(self, _: asyncio.Task[None]) -> None:
        """Let the model read the conversation so far before the user speaks again."""
        answered = self._answer is not None and self._answer.over
        if answered and self._ahead is None and not self._closed and self._reading.done():
            self._reading = self._keep(asyncio.create_task(self._read()))

    async def _has_read(self) -> None:
        """Wait until the model has read what it reads; asked meanwhile, it would start over."""
        await asyncio.wait([self._reading])

    async def _read(self) -> None:
        llm = self._engines.llm
        persona = self._config.instructions or self._settings.instructions
        await llm.expect(self._history.messages(persona, (), llm.prompt_tokens))

    def _release(self, turn: Turn) -> None:
        """Make a turn the one that is answered; one that still is ends here."""
        if self._answer is not None:
            self._answer.cancel()
        self._answer = turn
        turn.release()

    def _drop_ahead(self) -> None:
        if self._ahead is not None:
            self._ahead.cancel()
            self._ahead = None
