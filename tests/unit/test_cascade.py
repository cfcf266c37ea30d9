"""The cascade's turns, with engines that answer at once or when they are told to."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from harken.agents.agent import (
    AgentConfig,
    AgentFailed,
    AnswerAudio,
    AnswerCancelled,
    AnswerDone,
    AnswerStage,
    AnswerText,
    ToolCall,
    ToolSpec,
    UserTranscript,
)
from harken.agents.cascade import CascadeAgent
from harken.agents.engines import Engines
from harken.agents.history import Exchange, History
from harken.agents.llm import WantedTool
from harken.config import AgentSettings, LlmSettings, SttSettings, TtsSettings
from harken.errors import AgentError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence

    from harken.agents.agent import AgentEvent
    from harken.agents.history import Message

RATE = 1000
LAST = (AnswerDone, AnswerCancelled, AgentFailed)
SPEECH = b"\x00\x10" * 1600
TOOLS = tuple(
    ToolSpec(name, "", {})
    for name in ("self.audio_speaker.set_volume", "self.get_device_status", "self.led.set_color")
)


class SimStt:
    """Hears `heard`, or fails with it; waits for `gate`."""

    def __init__(self) -> None:
        self.heard: str | AgentError = "what is it"
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = 0

    async def prepare(self) -> None: ...

    async def transcribe(self, pcm: bytes, language: str) -> str:
        self.asked += 1
        await self.gate.wait()
        if isinstance(self.heard, AgentError):
            raise self.heard
        return self.heard

    async def close(self) -> None: ...


class SimLlm:
    """Says each of `answers` in turn, piece by piece; an error among the pieces is raised."""

    prompt_tokens: int | None = None

    def __init__(self) -> None:
        self.answers: list[list[str | WantedTool | AgentError]] = []
        self.prompts: list[list[Message]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.running = 0

    async def prepare(self, instructions: str) -> None: ...

    async def expect(self, messages: Sequence[Message]) -> None: ...

    async def reply(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec]
    ) -> AsyncGenerator[str | WantedTool]:
        self.prompts.append(list(messages))
        self.running += 1
        try:
            for piece in self.answers.pop(0) if self.answers else ["It is so."]:
                await self.gate.wait()
                if isinstance(piece, AgentError):
                    raise piece
                yield piece
        finally:
            self.running -= 1

    async def close(self) -> None: ...


class SimTts:
    """Speaks 100 ms for each word; waits for `gate`; fails for texts with "unspeakable"."""

    rate = RATE

    def __init__(self) -> None:
        self.spoken: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.running = 0

    async def prepare(self) -> None: ...

    async def speak(self, text: str) -> AsyncGenerator[bytes]:
        self.spoken.append(text)
        self.running += 1
        try:
            for word in text.split():
                await self.gate.wait()
                if "unspeakable" in word:
                    raise AgentError("no such sound", hint="say something else")
                yield b"\x00\x10" * (RATE // 10)
        finally:
            self.running -= 1

    async def close(self) -> None: ...


class Rig:
    """An agent and its engines."""

    def __init__(self, timeout_s: float = 5.0) -> None:
        self.stt, self.llm, self.tts = SimStt(), SimLlm(), SimTts()
        settings = AgentSettings(
            instructions="Be brief.",
            stt=SttSettings(timeout_s=timeout_s),
            llm=LlmSettings(timeout_s=timeout_s),
            tts=TtsSettings(timeout_s=timeout_s),
        )
        self.agent = CascadeAgent(Engines(self.stt, self.llm, self.tts), settings)
        self._events: AsyncIterator[AgentEvent] = self.agent.events()

    async def next(self) -> AgentEvent:
        async with asyncio.timeout(5):
            return await anext(self._events)

    async def until(self, *kinds: type[AgentEvent]) -> list[AgentEvent]:
        """Events up to and with the first of some kinds."""
        seen = [await self.next()]
        while not isinstance(seen[-1], kinds):
            seen.append(await self.next())
        return seen

    async def turn(self) -> list[AgentEvent]:
        """Events up to the end of the turn."""
        return await self.until(*LAST)

    def ask(self) -> None:
        self.agent.feed(SPEECH)
        self.agent.commit()

    async def quiet(self) -> None:
        """Nothing is waiting, and nothing comes."""
        for _ in range(20):
            await asyncio.sleep(0)
        waiting = asyncio.ensure_future(anext(self._events))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not waiting.done(), waiting.result()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        self._events = self.agent.events()


@pytest.fixture
async def rig() -> AsyncGenerator[Rig]:
    rig = Rig()
    await rig.agent.start(AgentConfig(tools=TOOLS))
    yield rig
    await rig.agent.close()


def kinds(events: list[AgentEvent]) -> list[str]:
    """Names of the kinds, runs of audio as one."""
    names = [type(event).__name__ for event in events]
    return [name for at, name in enumerate(names) if at == 0 or name != names[at - 1]]


async def turns_out(true: Callable[[], object]) -> None:
    """Wait until something is true."""
    for _ in range(10_000):
        if true():
            return
        await asyncio.sleep(0)
    pytest.fail("it did not come about")


def audio_ms(events: list[AgentEvent]) -> float:
    sizes = [len(event.pcm) for event in events if isinstance(event, AnswerAudio)]
    return sum(sizes) / 2 * 1000 / RATE


async def test_a_turn_goes_through_its_stages_in_order(rig: Rig) -> None:
    rig.llm.answers = [["The sky is", " blue. And the", " sea too."]]
    rig.ask()
    events = await rig.turn()
    assert kinds(events) == [
        "UserTranscript",
        "AnswerStage",
        "AnswerText",
        "AnswerStage",
        "AnswerAudio",
        "AnswerText",
        "AnswerAudio",
        "AnswerDone",
    ]
    assert events[0] == UserTranscript("what is it", at=events[0].at)
    texts = [event.text for event in events if isinstance(event, AnswerText)]
    assert texts == ["The sky is blue.", "And the sea too."]
    assert [e.stage for e in events if isinstance(e, AnswerStage)] == ["llm_first", "tts_first"]
    assert audio_ms(events) == 800
    last = events[-1]
    assert isinstance(last, AnswerDone)
    assert last.text == "The sky is blue. And the sea too."
    assert all(a.at <= b.at for a, b in pairwise(events))


async def test_the_first_clause_is_spoken_before_the_answer_is_written(rig: Rig) -> None:
    rig.llm.gate.clear()
    rig.llm.answers = [["It is. ", "More to come."]]
    rig.ask()
    await rig.until(UserTranscript)
    rig.llm.gate.set()
    await rig.until(AnswerAudio)
    rig.llm.gate.clear()
    assert rig.tts.spoken[0] == "It is."
    rig.llm.gate.set()
    await rig.turn()


async def test_what_was_said_before_is_remembered(rig: Rig) -> None:
    rig.llm.answers = [["My name is Ada."], ["It is Ada."]]
    rig.agent.say("Who are you?")
    await rig.turn()
    rig.agent.say("Say it again.")
    await rig.turn()
    assert rig.llm.prompts[1] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Who are you?"},
        {"role": "assistant", "content": "My name is Ada."},
        {"role": "user", "content": "Say it again."},
    ]


async def test_silence_is_an_empty_turn(rig: Rig) -> None:
    rig.stt.heard = ""
    rig.ask()
    assert kinds(await rig.turn()) == ["UserTranscript", "AnswerDone"]
    rig.agent.commit()
    assert kinds(await rig.turn()) == ["UserTranscript", "AnswerDone"]
    assert rig.llm.prompts == []


async def test_an_interrupted_answer_stops_at_once_and_is_remembered_as_heard(rig: Rig) -> None:
    rig.llm.answers = [["One two three four. ", "Five six seven eight. ", "Nine ten."], ["Yes."]]
    rig.agent.say("Count.")
    await rig.until(AnswerAudio)
    rig.agent.interrupt(600)
    assert kinds(await rig.turn()) == ["AnswerCancelled"]
    await rig.quiet()
    assert rig.llm.running == rig.tts.running == 0
    rig.agent.say("Go on.")
    assert kinds(await rig.turn())[-1] == "AnswerDone"
    heard = {"role": "assistant", "content": "One two three four. Five six …"}
    assert rig.llm.prompts[1][2] == heard


@pytest.mark.parametrize("stage", ["stt", "llm", "tts"])
async def test_an_interruption_reaches_every_stage(rig: Rig, stage: str) -> None:
    gate: asyncio.Event = getattr(rig, stage).gate
    gate.clear()
    rig.ask()
    reached = {"stt": lambda: rig.stt.asked, "llm": lambda: rig.llm.running}
    await turns_out(reached.get(stage, lambda: rig.tts.running))
    rig.agent.interrupt(0)
    events = await rig.turn()
    assert kinds(events)[-1] == "AnswerCancelled"
    gate.set()
    await rig.quiet()
    rig.ask()
    assert kinds(await rig.turn())[-1] == "AnswerDone"


async def test_an_answer_that_nobody_has_taken_can_still_be_cancelled(rig: Rig) -> None:
    rig.agent.say("Hello")
    for _ in range(100):
        await asyncio.sleep(0)
    rig.agent.interrupt(0)
    assert kinds(await rig.turn()) == ["AnswerCancelled"]
    await rig.quiet()


async def test_between_answers_an_interruption_only_changes_what_was_heard(rig: Rig) -> None:
    rig.agent.interrupt(0)
    await rig.quiet()
    rig.llm.answers = [["One two three four."], ["Yes."]]
    rig.agent.say("Count.")
    await rig.turn()
    rig.agent.interrupt(200)
    await rig.quiet()
    rig.agent.say("And?")
    await rig.turn()
    assert rig.llm.prompts[1][2]["content"] == "One two …"


async def test_a_new_turn_ends_the_one_before(rig: Rig) -> None:
    rig.tts.gate.clear()
    rig.agent.say("First.")
    await rig.until(AnswerText)
    rig.agent.say("Second.")
    rig.tts.gate.set()
    assert kinds(await rig.turn()) == ["AnswerCancelled"]
    assert kinds(await rig.turn())[-1] == "AnswerDone"
    await rig.quiet()


@pytest.mark.parametrize("stage", ["stt", "llm", "tts"])
async def test_a_failing_stage_fails_one_turn_alone(rig: Rig, stage: str) -> None:
    broken = AgentError("it broke", hint="mend it")
    if stage == "stt":
        rig.stt.heard = broken
    elif stage == "llm":
        rig.llm.answers = [["Well. ", broken]]
    else:
        rig.llm.answers = [["It is unspeakable. Truly."]]
    rig.ask()
    last = (await rig.turn())[-1]
    assert isinstance(last, AgentFailed)
    assert (last.code, bool(last.hint), last.fatal) == ("agent", True, False)
    await rig.quiet()
    rig.stt.heard = "again"
    rig.ask()
    assert kinds(await rig.turn())[-1] == "AnswerDone"


@pytest.mark.parametrize("stage", ["stt", "llm", "tts"])
async def test_a_stage_that_hangs_fails_at_its_deadline(stage: str) -> None:
    rig = Rig(timeout_s=0.05)
    await rig.agent.start(AgentConfig())
    gate: asyncio.Event = getattr(rig, stage).gate
    gate.clear()
    rig.ask()
    last = (await rig.turn())[-1]
    assert isinstance(last, AgentFailed)
    assert last.code == "agent_timeout"
    gate.set()
    rig.ask()
    assert kinds(await rig.turn())[-1] == "AnswerDone"
    await rig.agent.close()


async def test_a_bug_in_an_engine_does_not_take_the_session(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.stt.heard = 7  # type: ignore[assignment]
    rig.ask()
    last = (await rig.turn())[-1]
    assert isinstance(last, AgentFailed)
    assert "unexpectedly" in last.message
    assert "an answer failed" in caplog.text


async def test_a_command_calls_the_devices_tools_without_the_model(rig: Rig) -> None:
    rig.stt.heard = "Turn the volume up."
    rig.ask()
    call = (await rig.until(ToolCall))[-1]
    assert isinstance(call, ToolCall)
    assert call.name == "self.get_device_status"
    rig.agent.tool_result(call.call_id, json.dumps({"audio_speaker": {"volume": 30}}))
    call = (await rig.until(ToolCall))[-1]
    assert isinstance(call, ToolCall)
    assert (call.name, dict(call.arguments)) == ("self.audio_speaker.set_volume", {"volume": 40})
    rig.agent.tool_result(call.call_id, "true")
    last = (await rig.turn())[-1]
    assert isinstance(last, AnswerDone)
    assert last.text == "Volume is now 40 percent."
    assert rig.llm.prompts == []


async def test_a_tool_that_fails_is_said(rig: Rig) -> None:
    rig.agent.say("mute")
    call = (await rig.until(ToolCall))[-1]
    assert isinstance(call, ToolCall)
    rig.agent.tool_result(call.call_id, "the device is gone", is_error=True)
    rig.agent.tool_result(call.call_id, "twice")
    rig.agent.tool_result("never asked", "x")
    last = (await rig.turn())[-1]
    assert isinstance(last, AnswerDone)
    assert last.text == "Sorry, I could not set the volume."


async def test_a_model_that_wants_a_tool_gets_its_result(rig: Rig) -> None:
    rig.llm.answers = [
        [WantedTool("abc", "self.get_device_status", "{}")],
        ["It is at three."],
        ["Bye."],
    ]
    rig.agent.say("how goes it")
    call = (await rig.until(ToolCall))[-1]
    assert isinstance(call, ToolCall)
    rig.agent.tool_result(call.call_id, '{"volume": 3}')
    assert kinds(await rig.turn())[-1] == "AnswerDone"
    told = rig.llm.prompts[1][2:]
    assert told[0]["tool_calls"][0]["function"]["name"] == "self.get_device_status"
    assert told[1] == {"role": "tool", "tool_call_id": "abc", "content": '{"volume": 3}'}
    rig.agent.say("goodbye then")
    await rig.turn()
    assert [message["role"] for message in rig.llm.prompts[2]] == [
        "system", "user", "assistant", "tool", "assistant", "user",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [("self.explode", "{}", "no tool named"), ("self.get_device_status", "{nonsense", "JSON")],
)
async def test_a_model_that_wants_nonsense_is_told(
    rig: Rig, name: str, arguments: str, said: str
) -> None:
    rig.llm.answers = [[WantedTool("abc", name, arguments)], ["Never mind."]]
    rig.agent.say("do it")
    assert kinds(await rig.turn())[-1] == "AnswerDone"
    assert said in rig.llm.prompts[1][-1]["content"]


async def test_a_model_that_only_wants_tools_is_stopped(rig: Rig) -> None:
    rig.llm.answers = [[WantedTool("abc", "self.explode", "{}")]] * 10
    rig.agent.say("do it")
    last = (await rig.turn())[-1]
    assert isinstance(last, AgentFailed)
    assert "tools" in last.message


async def test_audio_that_nobody_takes_is_not_synthesised_for_ever(rig: Rig) -> None:
    rig.llm.answers = [["word " * 40 + ". "] * 200]
    rig.agent.say("Tell me everything.")
    for _ in range(20_000):
        await asyncio.sleep(0)
    # 960,000 bytes wait, and a clause more is under way; a word of this voice is 200 bytes.
    assert 900_000 < 200 * sum(len(text.split()) for text in rig.tts.spoken) < 1_000_000
    events = await rig.turn()
    assert audio_ms(events) == 200 * len(["word"] * 40 + ["."]) * 100


async def test_closing_ends_the_events_and_every_task(rig: Rig) -> None:
    rig.tts.gate.clear()
    rig.agent.say("Hello")
    await rig.until(AnswerText)
    await rig.agent.close()
    await rig.agent.close()
    assert kinds(await rig.turn()) == ["AnswerCancelled"]
    with pytest.raises(StopAsyncIteration):
        await rig.next()
    assert rig.tts.running == 0
    rig.agent.feed(SPEECH)
    rig.agent.interrupt(0)


async def test_listening_anew_forgets_what_was_fed(rig: Rig) -> None:
    rig.agent.feed(SPEECH)
    rig.agent.listen("client")
    rig.agent.commit()
    assert (await rig.turn())[0].text == ""  # type: ignore[union-attr]
    assert rig.stt.asked == 0


async def test_ending_turns_by_itself_needs_the_model_for_it() -> None:
    rig = Rig()
    await rig.agent.start(AgentConfig())
    with pytest.raises(AgentError, match="harken models pull silero-vad"):
        rig.agent.listen("agent")
    rig.agent.listen("client")
    rig.ask()
    assert kinds(await rig.turn())[-1] == "AnswerDone"
    await rig.agent.close()


def test_history_drops_the_oldest_where_room_is_short() -> None:
    history = History()
    for number in range(50):
        exchange = Exchange(f"question {number} " + "x" * 90)
        exchange.clauses.append((f"answer {number}", 100.0))
        history.add(exchange)
    now: list[dict[str, Any]] = [{"role": "user", "content": "now"}]
    assert len(history.messages("", now, None)) == 101
    messages = history.messages("be brief", now, 300)
    assert messages[0]["content"] == "be brief"
    assert messages[-1] == now[0]
    assert messages[-2]["content"] == "answer 49"
    assert 3 < len(messages) < 8
    assert history.messages("be brief", now, 5) == [messages[0], now[0]]


def test_the_beginning_of_the_prompt_seldom_changes() -> None:
    history = History()
    beginnings: list[str] = []
    for number in range(100):
        now: list[dict[str, Any]] = [{"role": "user", "content": f"question {number}"}]
        messages = history.messages("", now, 400)
        beginnings.append(messages[0]["content"])
        exchange = Exchange(f"question {number}", [(f"answer {number}", 100.0)])
        history.add(exchange)
    changes = sum(a != b for a, b in pairwise(beginnings))
    assert 5 < changes < 20


@pytest.mark.parametrize(
    ("heard_ms", "heard"),
    [
        (None, "One two three. Four five."),
        (10_000, "One two three. Four five."),
        (500, "One two three. Four five."),
        (450, "One two three. Four"),
        (300, "One two three."),
        (299, "One two"),
        (0, ""),
    ],
)
def test_what_was_heard_follows_the_time_played(heard_ms: float | None, heard: str) -> None:
    exchange = Exchange("?", [("One two three. ", 300.0), ("Four five.", 200.0)])
    exchange.heard_ms = heard_ms
    assert exchange.heard == heard


def test_a_clause_that_never_sounded_was_not_heard() -> None:
    exchange = Exchange("?", [("One.", 100.0), ("Two.", 0.0)])
    exchange.heard_ms = 100
    assert exchange.heard == "One."
