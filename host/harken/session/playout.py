"""From the agent's PCM to paced Opus: what the device is to play, when it is to have it."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from harken.audio.opus import Encoder
from harken.audio.pcm import Resampler
from harken.errors import LinkClosedError
from harken.links.link import Sentence, SpeechStart, SpeechStop
from harken.session.pacing import Pacer

if TYPE_CHECKING:
    from collections.abc import Callable

    from harken.config.settings import SessionSettings
    from harken.links.link import Link
    from harken.links.link import Playout as Report

__all__ = ["Playout"]

_MOST_WAITING_S = 60
_STEP_MS = 40
"""Packets are sent in steps of about so much, to wake up less often than once a packet."""


class Playout:
    """Sends answers to a device, one after the other.

    An answer is encoded packet by packet as it may be sent, so that a long one never keeps the
    loop from other sessions. Run `run` in a task; everything else returns at once.

    Args:
        link: the device.
        settings: lead, bit rate and effort.
        clock: monotonic seconds.
        on_first: called with the time when the first packet of an answer was sent.
        on_sentence: called with each sentence as its audio begins to be sent.
        on_sent: called when the whole of an answer was sent.
    """

    def __init__(
        self,
        link: Link,
        settings: SessionSettings,
        clock: Callable[[], float],
        *,
        on_first: Callable[[float], None],
        on_sentence: Callable[[str], None],
        on_sent: Callable[[], None],
    ) -> None:
        hello = link.hello
        self._link = link
        self._clock = clock
        self._on_first = on_first
        self._on_sentence = on_sentence
        self._on_sent = on_sent
        self._rate = hello.downlink_rate
        self._frame_ms = hello.downlink_frame_ms
        self._encoder = Encoder(
            self._rate,
            settings.downlink_bitrate,
            settings.downlink_complexity,
            self._frame_ms,
        )
        self._pacer = Pacer(max(settings.burst_ms, 2 * self._frame_ms))
        self._resampler: Resampler | None = None
        self._waiting: deque[str | memoryview] = deque()
        self._waiting_bytes = 0
        self._frame = bytearray()
        self._active = False
        self._finishing = False
        self._news = asyncio.Event()
        self._taken = asyncio.Event()

    @property
    def active(self) -> bool:
        """An answer has begun and not been sent to its end."""
        return self._active

    @property
    def full(self) -> bool:
        """A minute of audio waits: whoever brings more should wait for `room`."""
        return self._waiting_bytes > 2 * self._rate * _MOST_WAITING_S

    @property
    def sent_ms(self) -> int:
        """Audio of this answer that was sent."""
        return round(self._pacer.sent_ms)

    def played_ms(self) -> int:
        """How much of this answer the device has played by now, as well as can be known."""
        return round(self._pacer.played_ms(self._clock()))

    def begin(self) -> None:
        """An answer begins; does nothing within one."""
        if self._active:
            return
        self._active = True
        self._encoder.reset()
        self._pacer.begin()
        self._resampler = None
        self._link.send(SpeechStart())

    def text(self, sentence: str) -> None:
        """The words of the audio that follows."""
        self._waiting.append(sentence)
        self._news.set()

    def audio(self, pcm: bytes, rate: int) -> None:
        """More of the answer: int16 native endian mono at `rate`.

        Raises:
            AudioError: there is no such rate.
        """
        if self._resampler is None or self._resampler.source_rate != rate:
            self._flush_resampler()
            self._resampler = Resampler(rate, self._rate)
        self._queue(self._resampler.feed(pcm[: len(pcm) & ~1]))

    def finish(self) -> None:
        """The answer is complete: what waits is sent, then its end."""
        self._flush_resampler()
        self._finishing = True
        self._news.set()

    def cancel(self) -> int:
        """Drop what waits and silence the device; returns the ms that were played of it."""
        played_ms = self.played_ms()
        self._forget()
        self._link.send(SpeechStop(cancelled=True))
        return played_ms

    def report(self, report: Report) -> None:
        """The device said what it has played."""
        self._pacer.report(
            report.played_ms, report.buffered_ms, report.late, self._clock(), ended=report.ended
        )

    async def room(self) -> None:
        """Wait until less than a minute of audio waits."""
        while self.full:
            self._taken.clear()
            await self._taken.wait()

    async def run(self) -> None:
        """Send what may be sent when it may be sent, until cancelled or the link is closed."""
        while True:
            self._news.clear()
            try:
                wait_s = self._send_due()
            except LinkClosedError:
                return
            if wait_s is None:
                await self._news.wait()
            else:
                await asyncio.sleep(wait_s)

    def _send_due(self) -> float | None:
        """Send all that is due; returns the seconds until more is, or `None` for nothing left."""
        now = self._clock()
        while self._pacer.room_ms(now) >= self._frame_ms:
            pcm = self._next_frame()
            if pcm is None:
                if self._finishing and not self._waiting:
                    self._end()
                return None
            first = self._pacer.sent_ms == 0
            self._link.send_audio(self._encoder.encode(pcm), round(self._pacer.sent_ms))
            self._pacer.sent(self._frame_ms, now)
            if first:
                self._on_first(now)
        step_ms = max(self._frame_ms, _STEP_MS)
        wait_ms = step_ms - self._pacer.room_ms(now)
        return min(max(1.0, wait_ms), step_ms) / 1000

    def _next_frame(self) -> bytearray | None:
        """The next frame's samples; `None` where there are not enough yet."""
        size = self._encoder.frame_bytes
        while len(self._frame) < size and self._waiting:
            item = self._waiting.popleft()
            if isinstance(item, str):
                self._link.send(Sentence(item))
                self._on_sentence(item)
                continue
            missing = size - len(self._frame)
            self._frame += item[:missing]
            self._waiting_bytes -= min(missing, len(item))
            if len(item) > missing:
                self._waiting.appendleft(item[missing:])
        self._taken.set()
        if len(self._frame) < size:
            if not self._finishing or not self._frame:
                return None
            self._frame += bytes(size - len(self._frame))
        pcm, self._frame = self._frame, bytearray()
        return pcm

    def _queue(self, pcm: bytes) -> None:
        if pcm:
            self._waiting.append(memoryview(pcm))
            self._waiting_bytes += len(pcm)
            self._news.set()

    def _flush_resampler(self) -> None:
        if self._resampler is not None:
            self._queue(self._resampler.flush())
            self._resampler = None

    def _end(self) -> None:
        self._forget()
        self._link.send(SpeechStop())
        self._on_sent()

    def _forget(self) -> None:
        self._waiting.clear()
        self._waiting_bytes = 0
        self._frame = bytearray()
        self._resampler = None
        self._active = self._finishing = False
        self._taken.set()
