"""Answers are made faster than they are heard: what counts as said is what was heard."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from harken.agents.cascade import CascadeAgent
from harken.agents.engines import Engines
from harken.config import AgentSettings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

    from harken.agents.agent import ToolSpec
    from harken.agents.history import Message
    from harken.agents.llm import WantedTool
    from tests.integration.gateway.conftest import Device, Gateway

    OpenGateway = Callable[..., Awaitable[Gateway]]

pytestmark = pytest.mark.integration

OURS = {"v": 1, "features": ["playout", "endpoint"], "frame_ms": [20], "now": 0}
ANSWER = "One two three four five six seven eight. Nine ten eleven twelve."
WORD_MS = 100


class SimStt:
    """Hears the same always."""

    async def prepare(self) -> None: ...

    async def transcribe(self, pcm: bytes, language: str) -> str:
        return "count for me"

    async def close(self) -> None: ...


class SimLlm:
    """Says the same always, at once, and keeps what it was told of the conversation."""

    prompt_tokens: int | None = None

    def __init__(self) -> None:
        self.prompts: list[list[Message]] = []

    async def prepare(self, instructions: str) -> None: ...

    async def expect(self, messages: Sequence[Message]) -> None: ...

    async def reply(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec]
    ) -> AsyncGenerator[str | WantedTool]:
        self.prompts.append(list(messages))
        yield ANSWER

    async def close(self) -> None: ...


class SimTts:
    """Speaks a tenth of a second a word, at once."""

    rate = 16_000

    async def prepare(self) -> None: ...

    async def speak(self, text: str) -> AsyncGenerator[bytes]:
        at = np.arange(len(text.split()) * 16 * WORD_MS)
        yield (9_000 * np.cos(at / 8)).astype(np.int16).tobytes()

    async def close(self) -> None: ...


class Talk:
    """A device that reports what it plays, and a cascade that is done long before it."""

    def __init__(self, gateway: Gateway, device: Device, agent: CascadeAgent, llm: SimLlm) -> None:
        self.gateway, self.device, self.agent, self.llm = gateway, device, agent, llm

    async def ask(self) -> None:
        """Ask, and wait until the agent has said all of its answer."""
        answered = len(self.llm.prompts)
        await self.device.send(type="listen", state="start", mode="auto")
        await self.device.speak(200)
        await self.device.send(type="listen", state="stop")
        await self.device.expect("tts", state="sentence_start")
        await self.gateway.until(lambda: len(self.llm.prompts) > answered and self.done())

    def done(self) -> bool:
        turn = self.agent._answer
        return turn is not None and turn.over and not self.agent._outbox._events

    async def heard(self, ms: int, *, ended: bool) -> None:
        await self.device.send(
            type="harken", kind="playout", played_ms=ms, buffered_ms=0, ended=ended
        )

    async def remembered(self) -> str:
        """What the model is told, on the next question, that it said before."""
        await self.ask()
        told = self.llm.prompts[-1]
        return "|".join(str(m["content"]) for m in told if m["role"] == "assistant")


@pytest.fixture
async def talk(open_gateway: OpenGateway) -> Talk:
    llm = SimLlm()
    agent = CascadeAgent(Engines(SimStt(), llm, SimTts()), AgentSettings())
    gateway = await open_gateway(agent=agent)
    device = await gateway.connect()
    await device.say_hello(harken=OURS)
    return Talk(gateway, device, agent, llm)


async def test_an_answer_that_is_complete_is_cut_to_what_was_heard(talk: Talk) -> None:
    await talk.ask()
    # 300 ms are sent ahead of what is played; nothing is played faster than it can be.
    await talk.device.until(lambda: len(talk.device.packets()) * 20 >= 400 + 300 + 40)
    await talk.heard(400, ended=True)
    await talk.device.send(type="abort", reason="wake_word_detected")
    await talk.device.expect("tts", state="stop", harken={"cancelled": True})
    assert len(talk.device.packets()) * 20 < 1_200
    assert await talk.remembered() == "One two three four …"
    record = talk.gateway.records[0]
    assert (record.played_ms, record.interrupted, record.answer) == (400, True, ANSWER)


async def test_a_device_that_hears_a_voice_over_the_answer_begins_the_next_turn_with_it(
    talk: Talk,
) -> None:
    await talk.ask()
    await talk.device.until(lambda: len(talk.device.packets()) * 20 >= 400 + 300 + 40)
    await talk.heard(400, ended=True)
    await talk.device.send(type="abort", reason="voice")
    # No wake word, no wait for the answer to the abort.
    assert await talk.remembered() == "One two three four …"
    assert talk.device.messages("tts", state="stop")[0]["harken"] == {"cancelled": True}
    assert (talk.gateway.records[0].played_ms, talk.gateway.records[0].interrupted) == (400, True)


async def test_so_it_is_while_the_device_plays_the_end(talk: Talk) -> None:
    await talk.ask()
    await talk.device.expect("tts", state="stop", harken=None)
    await talk.heard(900, ended=True)
    await talk.device.send(type="abort", reason="button")
    await talk.device.expect("tts", state="stop", harken={"cancelled": True})
    assert await talk.remembered() == "One two three four five six seven eight. Nine …"
    record = talk.gateway.records[0]
    assert (record.played_ms, record.sent_ms, record.interrupted) == (900, 1_200, True)


async def test_listening_anew_interrupts_a_device_that_still_plays(talk: Talk) -> None:
    await talk.ask()
    await talk.device.expect("tts", state="stop", harken=None)
    await talk.heard(900, ended=False)
    assert (await talk.remembered()).startswith("One two three four five six seven eight. Nine")
    assert talk.gateway.records[0].interrupted


async def test_what_was_played_to_the_end_was_all_heard(talk: Talk) -> None:
    await talk.ask()
    await talk.device.expect("tts", state="stop", harken=None)
    await talk.heard(1_200, ended=True)
    assert await talk.remembered() == ANSWER
    assert not talk.gateway.records[0].interrupted


async def test_an_abort_after_the_end_takes_nothing_back(talk: Talk) -> None:
    await talk.ask()
    await talk.device.expect("tts", state="stop", harken=None)
    await talk.heard(1_200, ended=True)
    await talk.gateway.until(lambda: bool(talk.gateway.records))
    await talk.device.send(type="abort")
    await talk.device.expect("tts", state="stop", harken={"cancelled": True})
    assert await talk.remembered() == ANSWER


async def test_a_second_abort_does_not_unsay_what_was_heard(talk: Talk) -> None:
    await talk.ask()
    await talk.device.until(lambda: len(talk.device.packets()) * 20 >= 400 + 300 + 40)
    await talk.heard(400, ended=True)
    for _ in range(3):
        await talk.device.send(type="abort")
        await talk.device.expect("tts", state="stop", harken={"cancelled": True})
    assert await talk.remembered() == "One two three four …"


async def test_a_stock_board_plays_to_the_end_before_it_listens_again(
    open_gateway: OpenGateway,
) -> None:
    gateway = await open_gateway()
    device = await gateway.connect()
    await device.say_hello()
    for _ in range(2):
        await device.send(type="listen", state="start", mode="manual")
        await device.speak(300)
        await device.send(type="listen", state="stop")
        await device.expect("tts", state="stop")
    await device.send(type="goodbye")
    await device.closed.wait()
    assert gateway.agents[0].interrupts == []
    assert [record.interrupted for record in gateway.records] == [False, False]


async def test_speech_over_the_end_of_an_answer_silences_it(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway()
    device = await gateway.connect()
    await device.say_hello(harken={"v": 1, "features": ["playout"], "frame_ms": [20], "now": 0})
    await device.send(type="listen", state="start", mode="realtime")
    await device.speak(300)
    await device.speak(0, bytes(2 * 16 * 260))
    await device.expect("tts", state="stop", harken=None)
    await device.send(type="harken", kind="playout", played_ms=100, buffered_ms=200, ended=False)
    await device.speak(300)
    await device.expect("tts", state="stop", harken={"cancelled": True})
    (played_ms,) = gateway.agents[0].interrupts
    assert 100 <= played_ms <= 560
    assert gateway.records[0].interrupted
