"""What a device sends, on its way to the session: bounded, in order, without a task per frame."""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from operator import itemgetter
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from harken.links.link import AudioFrame

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from harken.links.link import LinkCounters, Receiver, Uplink

__all__ = ["MAX_EVENTS", "Inbox"]

MAX_EVENTS = 64
"""Events that may wait; a device that sends more than the session takes is cut off."""

_AUDIO_MS = 2_000

_T = TypeVar("_T")


class Inbox:
    """Audio and events from one device until it is closed.

    Audio holds two seconds and drops the oldest. Events hold `MAX_EVENTS`.

    Args:
        counters: where drops are counted.
    """

    def __init__(self, counters: LinkCounters) -> None:
        self._counters = counters
        self._arrivals = 0
        self._frames: _Waiting[AudioFrame] = _Waiting()
        self._events: _Waiting[Uplink] = _Waiting()
        self._most_frames = _AUDIO_MS // 60
        self._receiver: Receiver | None = None
        self._closed: str | None = None

    def expect(self, frame_ms: int) -> None:
        """Packets of `frame_ms` will come: so many of them make two seconds."""
        self._most_frames = max(1, _AUDIO_MS // max(1, frame_ms))

    def attach(self, receiver: Receiver) -> None:
        """Hand everything to `receiver` from now on, what is queued first."""
        self._receiver = receiver
        waiting = heapq.merge(
            cast("deque[tuple[int, AudioFrame | Uplink]]", self._frames.items),
            cast("deque[tuple[int, AudioFrame | Uplink]]", self._events.items),
            key=itemgetter(0),
        )
        for _, item in list(waiting):
            if isinstance(item, AudioFrame):
                receiver.on_frame(item)
            else:
                receiver.on_event(item)
        self._frames.items.clear()
        self._events.items.clear()
        if self._closed is not None:
            receiver.on_closed(self._closed)

    def put_frame(self, frame: AudioFrame) -> None:
        """Audio arrived."""
        if self._closed is not None:
            return
        if self._receiver is not None:
            self._receiver.on_frame(frame)
            return
        if len(self._frames.items) >= self._most_frames:
            self._frames.items.popleft()
            self._counters.dropped_up += 1
        self._arrivals += 1
        self._frames.put(self._arrivals, frame)

    def put_event(self, event: Uplink) -> bool:
        """An event arrived; false where too many wait already."""
        if self._closed is not None:
            return True
        if self._receiver is not None:
            self._receiver.on_event(event)
            return True
        if len(self._events.items) >= MAX_EVENTS:
            return False
        self._arrivals += 1
        self._events.put(self._arrivals, event)
        return True

    def close(self, reason: str) -> None:
        """Nothing more comes; safe to call twice."""
        if self._closed is not None:
            return
        self._closed = reason
        self._frames.close()
        self._events.close()
        if self._receiver is not None:
            self._receiver.on_closed(reason)

    def frames(self) -> AsyncIterator[AudioFrame]:
        """Audio until closed."""
        return self._frames.drain()

    def events(self) -> AsyncIterator[Uplink]:
        """Events until closed."""
        return self._events.drain()


class _Waiting(Generic[_T]):
    """Items with their order of arrival, and the one task that may wait for them."""

    def __init__(self) -> None:
        self.items: deque[tuple[int, _T]] = deque()
        self._news = asyncio.Event()
        self._closed = False

    def put(self, arrival: int, item: _T) -> None:
        self.items.append((arrival, item))
        self._news.set()

    def close(self) -> None:
        self._closed = True
        self._news.set()

    async def drain(self) -> AsyncIterator[_T]:
        while True:
            while self.items:
                yield self.items.popleft()[1]
            if self._closed:
                return
            self._news.clear()
            await self._news.wait()
