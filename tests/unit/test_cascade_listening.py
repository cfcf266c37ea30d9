"""Hearing where speech starts, pauses and ends, and answering ahead of the end."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from harken.agents import cascade
from harken.agents.agent import (
    AgentConfig,
    AnswerAudio,
    AnswerDone,
    SpeechStarted,
    SpeechStopped,
    ToolCall,
    ToolSpec,
    UserTranscript,
)
from harken.agents.cascade import CascadeAgent
from harken.agents.engines import Engines
from harken.agents.listening import Heard, Listener
from harken.audio.vad import WINDOW, WINDOW_MS
from harken.config import AgentSettings, EndpointSettings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from harken.agents.agent import AgentEvent, Endpoint
    from harken.agents.history import Message
    from harken.agents.llm import WantedTool

ENDPOINT = EndpointSettings()
QUIET = np.zeros(WINDOW, np.int16).tobytes()
LOUD = np.full(WINDOW, 3000, np.int16).tobytes()
# Windows until a pause is noticed (96 ms) and until a turn is over (500 ms).
PAUSE, END = 3, 16


class SimVad:
    """Takes for speech what is loud, window by window."""

    def __init__(self, path: Path | None = None) -> None:
        self._pending = b""

    def reset(self) -> None:
        self._pending = b""

    def feed(self, pcm: bytes) -> list[float]:
        data = self._pending + pcm
        whole = len(data) // (2 * WINDOW)
        self._pending = data[whole * 2 * WINDOW :]
        windows = np.frombuffer(data, np.int16, whole * WINDOW).reshape(whole, WINDOW)
        return [float(np.abs(window).max() > 1000) for window in windows]


def listener() -> Listener:
    return Listener(SimVad(), ENDPOINT)  # type: ignore[arg-type]  # structurally the same


def feed(ear: Listener, *windows: bytes) -> list[str]:
    return [heard.kind for window in windows for heard in ear.feed(window)]


def test_a_turn_is_started_paused_and_ended() -> None:
    ear = listener()
    assert feed(ear, *[QUIET] * 20) == []
    assert feed(ear, *[LOUD] * 10) == ["started"]
    assert feed(ear, *[QUIET] * PAUSE) == ["paused"]
    assert feed(ear, *[QUIET] * (END - PAUSE)) == ["ended"]


def test_a_pause_that_is_not_the_end_is_taken_back() -> None:
    ear = listener()
    feed(ear, *[LOUD] * 10)
    assert feed(ear, *[QUIET] * 8) == ["paused"]
    assert feed(ear, *[LOUD] * 3) == ["resumed"]
    assert feed(ear, *[QUIET] * END) == ["paused", "ended"]


def test_the_start_says_how_long_ago_it_was() -> None:
    ear = listener()
    feed(ear, *[QUIET] * 4)
    heard = [event for window in [LOUD] * 3 for event in ear.feed(window)]
    assert heard == [Heard("started", 3 * WINDOW_MS)]


def test_the_utterance_is_the_speech_with_a_little_around_it() -> None:
    ear = listener()
    feed(ear, *[QUIET] * 100, *[LOUD] * 20, *[QUIET] * 15)
    samples = np.frombuffer(ear.utterance(), np.int16)
    loud = np.flatnonzero(samples)
    assert len(loud) == 20 * WINDOW
    assert 280 <= loud[0] / 16 <= 320
    assert 180 <= (len(samples) - loud[-1]) / 16 <= 220


def test_silence_is_no_utterance_and_is_not_kept() -> None:
    ear = listener()
    feed(ear, *[QUIET] * 10_000)
    assert not ear.spoke
    assert ear.utterance() == b""
    assert len(ear._audio) <= 2 * 16 * 2100


def test_a_turn_that_does_not_end_is_ended() -> None:
    ear = listener()
    kinds = feed(ear, *[LOUD] * 2000)
    assert kinds == ["started", "ended"]
    assert len(ear.utterance()) <= 30 * 32_000
    ear.clear()
    assert feed(ear, *[LOUD] * 5) == ["started"]


def test_frames_of_any_length_are_the_same() -> None:
    whole = b"".join([*[QUIET] * 10, *[LOUD] * 10, *[QUIET] * 20])
    expected = listener()
    kinds = [heard.kind for heard in expected.feed(whole)]
    for size in (2, 320, 640, 1920, 5000):
        ear = listener()
        found: list[str] = []
        for at in range(0, len(whole), size):
            found += [heard.kind for heard in ear.feed(whole[at : at + size])]
        assert found == kinds
        assert ear.utterance() == expected.utterance()


def test_without_a_voice_activity_model_all_is_speech() -> None:
    ear = Listener(None, ENDPOINT)
    assert feed(ear, QUIET, LOUD) == []
    assert ear.utterance() == QUIET + LOUD


class SimStt:
    """Hears how many windows were loud."""

    def __init__(self) -> None:
        self.asked = 0
        self.said = ""

    async def prepare(self) -> None: ...

    async def transcribe(self, pcm: bytes, language: str) -> str:
        self.asked += 1
        loud = np.count_nonzero(np.frombuffer(pcm, np.int16)) // WINDOW
        return self.said or f"{loud} windows"

    async def close(self) -> None: ...


class SimLlm:
    """Says back what it was asked."""

    prompt_tokens: int | None = None

    async def prepare(self, instructions: str) -> None: ...

    async def expect(self, messages: Sequence[Message]) -> None: ...

    async def reply(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec]
    ) -> AsyncGenerator[str | WantedTool]:
        yield f"You said {messages[-1]['content']}. And more."

    async def close(self) -> None: ...


class SimTts:
    """Speaks 100 ms whatever the text."""

    rate = 1000

    def __init__(self) -> None:
        self.spoken: list[str] = []

    async def prepare(self) -> None: ...

    async def speak(self, text: str) -> AsyncGenerator[bytes]:
        self.spoken.append(text)
        yield b"\x00\x10" * 100

    async def close(self) -> None: ...


class Rig:
    def __init__(self) -> None:
        self.stt, self.tts = SimStt(), SimTts()
        engines = Engines(self.stt, SimLlm(), self.tts, Path("sim"))
        self.agent = CascadeAgent(engines, AgentSettings())
        self._events = self.agent.events()

    async def start(self, endpoint: Endpoint) -> None:
        tools = (ToolSpec("self.audio_speaker.set_volume", "", {}),)
        await self.agent.start(AgentConfig(tools=tools))
        self.agent.listen(endpoint)

    async def hear(self, *windows: bytes) -> None:
        """Feed, and let everything that follows happen."""
        for window in windows:
            self.agent.feed(window)
        for _ in range(100):
            await asyncio.sleep(0)

    async def turn(self) -> list[AgentEvent]:
        seen: list[AgentEvent] = []
        async with asyncio.timeout(5):
            async for event in self._events:
                seen.append(event)
                if isinstance(event, AnswerDone):
                    return seen
        return seen


@pytest.fixture
async def rig(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Rig]:
    monkeypatch.setattr(cascade, "SileroVad", SimVad)
    rig = Rig()
    yield rig
    await rig.agent.close()


async def test_the_agent_ends_the_turn_by_itself(rig: Rig) -> None:
    await rig.start("agent")
    await rig.hear(*[QUIET] * 5, *[LOUD] * 10, *[QUIET] * END)
    events = await rig.turn()
    assert isinstance(events[0], SpeechStarted)
    assert isinstance(events[1], SpeechStopped)
    assert 480 <= events[1].speech_end_ms_ago <= 544
    assert isinstance(events[2], UserTranscript)
    assert events[2].text == "10 windows"
    assert rig.stt.asked == 1


async def test_who_ends_a_turn_that_has_ended_changes_nothing(rig: Rig) -> None:
    await rig.start("agent")
    await rig.hear(*[LOUD] * 10, *[QUIET] * (END + 3))
    rig.agent.commit()
    events = await rig.turn()
    assert [e.text for e in events if isinstance(e, UserTranscript)] == ["10 windows"]
    await rig.hear(*[LOUD] * 7)
    rig.agent.commit()
    events = await rig.turn()
    assert [e.text for e in events if isinstance(e, UserTranscript)] == ["7 windows"]
    assert not rig.agent._outbox._events


async def test_the_agent_and_the_client_end_turns_by_turns(rig: Rig) -> None:
    await rig.start("agent")
    for endpoint in ("client", "agent", "client"):
        rig.agent.listen(endpoint)
        await rig.hear(*[LOUD] * 10, *[QUIET] * END)
        ended = any(isinstance(event, SpeechStopped) for _, event in rig.agent._outbox._events)
        assert ended is (endpoint == "agent")
        if endpoint == "client":
            rig.agent.commit()
        await rig.turn()


@pytest.mark.parametrize("endpoint", ["agent", "client"])
async def test_the_answer_is_ready_when_the_turn_is_over(rig: Rig, endpoint: Endpoint) -> None:
    await rig.start(endpoint)
    await rig.hear(*[LOUD] * 10, *[QUIET] * PAUSE)
    assert rig.tts.spoken == ["You said 10 windows."]
    await rig.hear(*[QUIET] * (END - PAUSE))
    if endpoint == "client":
        rig.agent.commit()
    events = await rig.turn()
    assert rig.stt.asked == 1
    assert sum(isinstance(event, AnswerAudio) for event in events) == 2
    assert rig.tts.spoken == ["You said 10 windows.", "And more."]
    assert all(a.at <= b.at for a, b in zip(events, events[1:], strict=False))  # noqa: RUF007


async def test_nothing_is_told_or_done_before_the_turn_is_over(rig: Rig) -> None:
    await rig.start("client")
    rig.stt.said = "mute"
    await rig.hear(*[LOUD] * 10, *[QUIET] * END)
    assert not rig.agent._outbox._events
    rig.agent.commit()
    await rig.hear()
    kinds = [type(event) for _, event in rig.agent._outbox._events]
    assert kinds == [UserTranscript, ToolCall]


async def test_speech_that_goes_on_takes_back_what_was_begun(rig: Rig) -> None:
    await rig.start("client")
    await rig.hear(*[LOUD] * 10, *[QUIET] * 8)
    await rig.hear(*[LOUD] * 4, *[QUIET] * END)
    rig.agent.commit()
    events = await rig.turn()
    transcripts = [event.text for event in events if isinstance(event, UserTranscript)]
    assert transcripts == ["14 windows"]
    assert rig.stt.asked == 2


async def test_a_commit_without_a_pause_takes_all_that_was_said(rig: Rig) -> None:
    await rig.start("client")
    await rig.hear(*[LOUD] * 10, *[QUIET] * 8, *[LOUD] * 4)
    rig.agent.commit()
    events = await rig.turn()
    assert events[0] == UserTranscript("14 windows", at=events[0].at)


async def test_clearing_forgets_speech_and_what_was_begun(rig: Rig) -> None:
    await rig.start("client")
    await rig.hear(*[LOUD] * 10, *[QUIET] * 8)
    rig.agent.clear()
    rig.agent.commit()
    events = await rig.turn()
    assert events[0] == UserTranscript("", at=events[0].at)
    assert isinstance(events[-1], AnswerDone)


async def test_a_dropped_beginning_is_not_remembered(rig: Rig) -> None:
    await rig.start("client")
    await rig.hear(*[LOUD] * 10, *[QUIET] * 8)
    rig.agent.clear()
    rig.agent.say("hello")
    await rig.turn()
    assert [exchange.user for exchange in rig.agent._history._exchanges] == ["hello"]
