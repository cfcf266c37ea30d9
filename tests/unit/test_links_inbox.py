"""What waits between a device and its session."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from harken.errors import MalformedError
from harken.links.inbox import MAX_EVENTS, Inbox
from harken.links.limits import RefusalLog, TokenBucket
from harken.links.link import Abort, AudioFrame, LinkCounters, ListenStop, Uplink

if TYPE_CHECKING:
    import pytest


def frame(number: int) -> AudioFrame:
    return AudioFrame(b"x", number, 0, 0.0)


class Recorder:
    def __init__(self) -> None:
        self.items: list[object] = []
        self.reasons: list[str] = []

    def on_frame(self, frame: AudioFrame) -> None:
        self.items.append(frame.sequence)

    def on_event(self, event: Uplink) -> None:
        self.items.append(type(event))

    def on_closed(self, reason: str) -> None:
        self.reasons.append(reason)


async def test_the_oldest_audio_goes_first() -> None:
    counters = LinkCounters()
    inbox = Inbox(counters)
    inbox.expect(500)
    for number in range(7):
        inbox.put_frame(frame(number))
    inbox.close("done")
    assert [item.sequence async for item in inbox.frames()] == [3, 4, 5, 6]
    assert counters.dropped_up == 3


async def test_too_many_events_are_not_taken() -> None:
    inbox = Inbox(LinkCounters())
    assert all(inbox.put_event(Abort()) for _ in range(MAX_EVENTS))
    assert not inbox.put_event(Abort())


async def test_a_receiver_gets_what_waited_in_order_then_all_at_once() -> None:
    inbox, receiver = Inbox(LinkCounters()), Recorder()
    inbox.put_frame(frame(0))
    inbox.put_event(Abort())
    inbox.put_frame(frame(1))
    inbox.put_event(ListenStop())
    inbox.attach(receiver)
    inbox.put_frame(frame(2))
    inbox.close("over")
    inbox.close("again")
    inbox.put_frame(frame(3))
    assert receiver.items == [0, Abort, 1, ListenStop, 2]
    assert receiver.reasons == ["over"]


async def test_a_receiver_that_comes_too_late_is_told() -> None:
    inbox, receiver = Inbox(LinkCounters()), Recorder()
    inbox.put_event(Abort())
    inbox.close("gone")
    inbox.attach(receiver)
    assert receiver.items == [Abort]
    assert receiver.reasons == ["gone"]


def test_a_bucket_allows_bursts_and_a_rate() -> None:
    bucket = TokenBucket(10, 5, 0.0)
    assert bucket.take(5, 0.0)
    assert not bucket.take(1, 0.05)
    assert bucket.take(1, 0.2)
    assert not bucket.take(6, 100.0)
    assert bucket.take(5, 100.0)


def test_refusals_are_counted_and_logged_once_in_a_while(
    caplog: pytest.LogCaptureFixture,
) -> None:
    counters = LinkCounters()
    log = RefusalLog("device", counters)
    with caplog.at_level(logging.WARNING):
        for second in range(25):
            log.refuse(MalformedError("bad\nthing"), float(second))
    assert counters.refused == {"malformed": 25}
    assert len(caplog.records) == 3
    assert "refused 10 message(s) of device" in caplog.text
    assert "bad\nthing" not in caplog.text
