"""What an agent has said and nobody has taken yet."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from harken.agents.agent import AnswerAudio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from harken.agents.agent import AgentEvent

__all__ = ["Outbox"]

# Audio waiting to be taken, in bytes: 20 s at 24 kHz. An answer is synthesised no further ahead.
_AUDIO_LIMIT = 20 * 24_000 * 2


class Outbox:
    """Events in order, each of one turn (0: of none). Audio waits for room, the rest is short."""

    def __init__(self) -> None:
        self._events: deque[tuple[int, AgentEvent]] = deque()
        self._audio = 0
        self._closed = False
        self._changed = asyncio.Event()

    def put(self, event: AgentEvent, turn: int = 0) -> None:
        """Add an event; after `close` it is dropped."""
        if self._closed:
            return
        if isinstance(event, AnswerAudio):
            self._audio += len(event.pcm)
        self._events.append((turn, event))
        self._changed.set()

    async def room(self) -> None:
        """Wait until the audio that waits is below its limit."""
        while self._audio >= _AUDIO_LIMIT and not self._closed:
            self._changed.clear()
            await self._changed.wait()

    def drop(self, turn: int, kept_kinds: tuple[type[AgentEvent], ...]) -> list[AgentEvent]:
        """Forget what waits of a turn but for some kinds; returns what was forgotten."""
        kept: list[tuple[int, AgentEvent]] = []
        gone: list[AgentEvent] = []
        for number, event in self._events:
            if number == turn and not isinstance(event, kept_kinds):
                gone.append(event)
            else:
                kept.append((number, event))
        self._events = deque(kept)
        self._audio = sum(len(e.pcm) for _, e in kept if isinstance(e, AnswerAudio))
        self._changed.set()
        return gone

    def close(self) -> None:
        """End `events` once what waits is taken."""
        self._closed = True
        self._changed.set()

    async def events(self) -> AsyncIterator[AgentEvent]:
        """Everything put in, until `close`. One consumer."""
        while True:
            while self._events:
                _, event = self._events.popleft()
                if isinstance(event, AnswerAudio):
                    self._audio -= len(event.pcm)
                    self._changed.set()
                yield event
            if self._closed:
                return
            self._changed.clear()
            if not self._events:
                await self._changed.wait()
