"""Which text was typed, decided without a clock that runs away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from harken.links import typed
from harken.links.link import (
    Abort,
    ListenStart,
    ListenStop,
    Playout,
    SpeechStart,
    SpeechStop,
    Text,
    ToolReply,
    Wake,
)
from harken.links.typed import TypedText, plain_word, plain_words

if TYPE_CHECKING:
    from harken.links.link import Uplink


class Desk:
    """What a `TypedText` emits, and how many packets have come."""

    def __init__(self) -> None:
        self.emitted: list[Uplink] = []
        self.packets = 0
        self.text = TypedText(self._emit, lambda: self.packets)
        self._news = asyncio.Event()

    def _emit(self, event: Uplink) -> None:
        self.emitted.append(event)
        self._news.set()

    async def until(self, count: int) -> list[Uplink]:
        async with asyncio.timeout(5):
            while len(self.emitted) < count:
                self._news.clear()
                await self._news.wait()
        return self.emitted


@pytest.fixture
async def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr(typed, "HOLD_S", 0.02)
    return Desk()


@pytest.mark.parametrize("follows", [ListenStart("auto"), ListenStop(), Abort()])
async def test_what_a_device_goes_on_from_was_a_wake_word(desk: Desk, follows: Uplink) -> None:
    desk.text.take(Text("hello"))
    assert desk.emitted == []
    desk.text.take(follows)
    assert desk.emitted == [Wake("hello"), follows]


async def test_what_nothing_follows_was_typed(desk: Desk) -> None:
    desk.text.take(Text("hello"))
    assert await desk.until(1) == [Text("hello")]


async def test_replies_and_reports_pass_and_decide_nothing(desk: Desk) -> None:
    reports: list[Uplink] = [ToolReply({}), Playout(0, 0), Wake("known")]
    desk.text.take(Text("hello"))
    for report in reports:
        desk.text.take(report)
    assert await desk.until(4) == [*reports, Text("hello")]


async def test_audio_decides_only_where_the_microphone_was_closed(desk: Desk) -> None:
    expected: list[Uplink] = []

    async def text_with_audio(found: Uplink) -> None:
        desk.text.take(Text("hello"))
        desk.packets += 1
        expected.append(found)
        assert await desk.until(len(expected)) == expected

    def take(event: Uplink) -> None:
        desk.text.take(event)
        expected.append(event)

    await text_with_audio(Wake("hello"))
    take(ListenStart("auto"))
    await text_with_audio(Text("hello"))
    desk.text.told(SpeechStop())
    await text_with_audio(Text("hello"))
    desk.text.told(SpeechStart())
    await text_with_audio(Wake("hello"))
    take(ListenStart("realtime"))
    desk.text.told(SpeechStart())
    await text_with_audio(Text("hello"))
    take(ListenStop())
    await text_with_audio(Wake("hello"))


async def test_the_next_text_decides_the_one_before(desk: Desk) -> None:
    desk.text.take(Text("one"))
    desk.text.take(Text("two"))
    assert desk.emitted == [Text("one")]
    assert await desk.until(2) == [Text("one"), Text("two")]


async def test_after_the_end_nothing_comes(desk: Desk) -> None:
    desk.text.take(Text("one"))
    desk.text.close()
    desk.text.take(ListenStart("auto"))
    assert desk.emitted == [ListenStart("auto")]


def test_wake_words_are_compared_by_their_letters() -> None:
    assert {plain_word(word) for word in ("Hi,ESP", "hi esp", "HI_ESP!")} == {"hiesp"}
    assert plain_words(["你好,小智", "  ", "Alexa"]) == {"你好小智", "alexa"}
