"""One turn of a cascade: transcribe, think, speak, all in one scope that ends as a whole."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from harken.agents import intents
from harken.agents.agent import (
    AgentFailed,
    AnswerAudio,
    AnswerCancelled,
    AnswerDone,
    AnswerStage,
    AnswerText,
    ToolCall,
    UserTranscript,
)
from harken.agents.clauses import ClauseCutter
from harken.agents.deadlines import each_within, within
from harken.agents.history import Exchange
from harken.agents.llm import WantedTool
from harken.errors import AgentError, HarkenError, ToolError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

    from harken.agents.agent import AgentConfig, AgentEvent
    from harken.agents.engines import Engines
    from harken.agents.history import History, Message
    from harken.agents.outbox import Outbox
    from harken.config import AgentSettings

__all__ = ["Turn"]

_log = logging.getLogger(__name__)

_TOOL_DEADLINE_S: Final = 15.0
_MOST_TOOL_ROUNDS: Final = 4
_CLAUSES_AHEAD: Final = 2
_PIECE_MS: Final = 100
# A sample below it is silence; so much of that stays before the first one that is not.
_QUIET: Final = 100
_LEAD_MS: Final = 5
_LAST: Final = (AnswerDone, AgentFailed)
_SLOW_HINT: Final = "the machine may be too busy; `agent.*.timeout_s` sets how long to wait"


class Turn:
    """An utterance and the answer to it.

    It may be started before the user's turn is known to be over: until `release`, nothing it finds
    is told and no tool is called; if the user goes on speaking it is dropped and was never there.

    Args:
        number: names it in the outbox.
        settings: of the agent.
        config: of the session.
        engines: do the work.
        history: the conversation before this turn.
        outbox: takes its events.
        ready: waits until the language model may be asked.
    """

    def __init__(
        self,
        number: int,
        settings: AgentSettings,
        config: AgentConfig,
        engines: Engines,
        history: History,
        outbox: Outbox,
        ready: Callable[[], Awaitable[None]],
    ) -> None:
        self.number = number
        self.exchange = Exchange()
        self._settings = settings
        self._config = config
        self._engines = engines
        self._history = history
        self._outbox = outbox
        self._ready = ready
        self._released = asyncio.Event()
        self._held: list[AgentEvent] = []
        self._over = False
        self._task: asyncio.Task[None] | None = None
        self._tools: dict[str, asyncio.Future[str]] = {}
        self._stages: set[str] = set()

    @property
    def released(self) -> bool:
        """Whether the user's turn is over and this is the answer to it."""
        return self._released.is_set()

    @property
    def over(self) -> bool:
        """Whether its last event was put out."""
        return self._over

    def start(self, spoken: bytes, typed: str = "") -> asyncio.Task[None]:
        """Begin: answer what was typed, or else transcribe and answer what was spoken."""
        self._task = asyncio.create_task(self._run(spoken, typed), name=f"turn {self.number}")
        return self._task

    def release(self) -> None:
        """The user's turn is over: from now on everything is told as it happens.

        What was found before is told now, and stamped so: it cost the user no time.
        """
        self._history.add(self.exchange)
        self._released.set()
        for event in self._held:
            self._outbox.put(replace(event, at=time.monotonic()), self.number)
        self._held.clear()

    def cancel(self) -> None:
        """Stop at once; nothing more is told of this turn but that it was cancelled."""
        if self._task is not None:
            self._task.cancel()
        self._held.clear()
        if self.released:
            gone = self._outbox.drop(self.number, (UserTranscript, AnswerCancelled))
            if not self._over or any(isinstance(event, _LAST) for event in gone):
                self._outbox.put(AnswerCancelled(), self.number)
        self._over = True

    def tool_result(self, call_id: str, content: str, *, is_error: bool) -> None:
        """What a tool returned; ignored where nobody waits for it."""
        waiting = self._tools.get(call_id)
        if waiting is None or waiting.done():
            return
        if is_error:
            waiting.set_exception(ToolError(content or "the tool failed"))
        else:
            waiting.set_result(content)

    def _tell(self, event: AgentEvent) -> None:
        """Put out an event, or hold it until the turn is released."""
        if self._over:
            return
        if self.released:
            self._outbox.put(event, self.number)
        else:
            self._held.append(event)

    async def _run(self, spoken: bytes, typed: str) -> None:
        """The whole turn; its last event is the only one of its kind."""
        last: AgentEvent
        try:
            await self._answer(spoken, typed)
            last = AnswerDone(self.exchange.heard)
        except HarkenError as error:
            last = AgentFailed(error.code, str(error.args[0]), error.hint)
        except Exception:
            _log.exception("an answer failed")
            last = AgentFailed("agent", "the agent failed unexpectedly", "see the gateway's log")
        await self._released.wait()
        self._tell(last)
        self._over = True

    async def _answer(self, spoken: bytes, typed: str) -> None:
        text = typed or await self._transcribe(spoken)
        self.exchange.user = text
        if not typed:
            self._tell(UserTranscript(text))
        if not text:
            return
        clauses: asyncio.Queue[str | None] = asyncio.Queue(_CLAUSES_AHEAD)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._think(text, clauses))
                group.create_task(self._speak(clauses))
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _transcribe(self, spoken: bytes) -> str:
        if not spoken:
            return ""
        stt = self._engines.stt
        work = stt.transcribe(spoken, self._config.language)
        return await within(work, self._settings.stt.timeout_s, "speech to text", _SLOW_HINT)

    async def _think(self, text: str, clauses: asyncio.Queue[str | None]) -> None:
        """Write the answer, cut into clauses; `None` ends it."""
        cutter = ClauseCutter()
        async with aclosing(self._words(text)) as words:
            async for piece in words:
                for clause in cutter.feed(piece):
                    await clauses.put(clause)
        if rest := cutter.flush():
            await clauses.put(rest)
        await clauses.put(None)

    async def _words(self, text: str) -> AsyncGenerator[str]:
        """The answer's text as it comes, from a command or from the language model."""
        intent = intents.match(text, self._config.language)
        if intent is not None:
            names = {tool.name for tool in self._config.tools}
            yield await intents.act(intent, names, self._call)
            return
        await within(self._ready(), self._settings.llm.timeout_s, "the language model", _SLOW_HINT)
        for _ in range(_MOST_TOOL_ROUNDS):
            wanted: list[WantedTool] = []
            async with aclosing(self._reply(text)) as pieces:
                async for piece in pieces:
                    if isinstance(piece, WantedTool):
                        wanted.append(piece)
                    else:
                        self._reached("llm_first")
                        yield piece
            if not wanted:
                return
            await self._use(wanted)
        raise AgentError(
            f"the language model asked for tools {_MOST_TOOL_ROUNDS} times and did not answer"
        )

    def _reply(self, text: str) -> AsyncGenerator[str | WantedTool]:
        llm = self._engines.llm
        now: list[Message] = [{"role": "user", "content": text}, *self.exchange.between]
        persona = self._config.instructions or self._settings.instructions
        messages = self._history.messages(persona, now, llm.prompt_tokens, self.exchange)
        pieces = llm.reply(messages, self._config.tools)
        return each_within(pieces, self._settings.llm.timeout_s, "the language model", _SLOW_HINT)

    async def _use(self, wanted: list[WantedTool]) -> None:
        """Call the tools that the model asked for, and note what came of it for the model."""
        calls = [
            {
                "id": tool.call_id,
                "type": "function",
                "function": {"name": tool.name, "arguments": tool.arguments or "{}"},
            }
            for tool in wanted
        ]
        # Noted only as a whole: a call without its result would spoil every later prompt.
        noted: list[Message] = [{"role": "assistant", "content": None, "tool_calls": calls}]
        for tool in wanted:
            try:
                content = await self._call(tool.name, _arguments(tool))
            except ToolError as error:
                content = f"error: {error}"
            message = {"role": "tool", "tool_call_id": tool.call_id, "content": content}
            noted.append(message)
        self.exchange.between += noted

    async def _call(self, name: str, arguments: Mapping[str, Any]) -> str:
        """Call a tool, once the turn is the user's last word."""
        if name not in {tool.name for tool in self._config.tools}:
            raise ToolError(f"there is no tool named {name}")
        await self._released.wait()
        call_id = f"{self.number}-{len(self._tools) + 1}"
        self._tools[call_id] = asyncio.get_running_loop().create_future()
        self._tell(ToolCall(call_id, name, arguments))
        try:
            async with asyncio.timeout(_TOOL_DEADLINE_S):
                return await self._tools[call_id]
        except TimeoutError as error:
            raise ToolError(f"{name} did not answer within {_TOOL_DEADLINE_S:g} s") from error

    async def _speak(self, clauses: asyncio.Queue[str | None]) -> None:
        """Speak clauses as they come; the next is written while one is spoken."""
        while (clause := await clauses.get()) is not None:
            if not any(char.isalnum() for char in clause):
                continue
            self._tell(AnswerText(clause.strip()))
            # From now on it counts as said; how long it sounds is known when it has been spoken.
            self.exchange.clauses.append((clause, 0.0))
            length = 0.0
            tts = self._engines.tts
            pieces = each_within(
                tts.speak(clause.strip()), self._settings.tts.timeout_s, "speech", _SLOW_HINT
            )
            async with aclosing(pieces):
                async for spoken in pieces:
                    pcm = spoken if "tts_first" in self._stages else _prompt(spoken, tts.rate)
                    self._reached("tts_first")
                    length += len(pcm) / 2 * 1000 / tts.rate
                    self.exchange.clauses[-1] = (clause, length)
                    await self._play(pcm, tts.rate)
            # One clause is enough of an answer that may never be wanted.
            await self._released.wait()

    async def _play(self, pcm: bytes, rate: int) -> None:
        """Put out audio in small pieces, waiting where nobody takes it."""
        size = 2 * (rate * _PIECE_MS // 1000)
        for at in range(0, len(pcm), size):
            await self._outbox.room()
            self._tell(AnswerAudio(pcm[at : at + size], rate))

    def _reached(self, stage: str) -> None:
        """Tell a stage of the answer, the first time."""
        if stage not in self._stages:
            self._stages.add(stage)
            self._tell(AnswerStage("llm_first" if stage == "llm_first" else "tts_first"))


def _prompt(pcm: bytes, rate: int) -> bytes:
    """The first sound of an answer without the silence before it: it would only be waited for."""
    loud = np.flatnonzero(np.abs(np.frombuffer(pcm, np.int16).astype(np.int32)) >= _QUIET)
    start = max(0, int(loud[0]) - rate * _LEAD_MS // 1000) if len(loud) else 0
    return pcm[2 * start :]


def _arguments(tool: WantedTool) -> dict[str, Any]:
    """The arguments that the model wrote.

    Raises:
        ToolError: they are not a JSON object.
    """
    try:
        return msgspec.json.decode(tool.arguments or "{}", type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise ToolError("the arguments are not a JSON object") from error
