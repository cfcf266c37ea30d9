"""Who ends a turn is settled by each listening: the device, or the agent that hears it end."""

from __future__ import annotations

import json
import wave
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from websockets.frames import Frame, Opcode

from harken.agents.cascade import CascadeAgent
from harken.agents.engines import Engines
from harken.audio.opus import Encoder
from harken.config import AgentSettings
from harken.errors import ModelMissingError
from harken_models.store import Store

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

    from harken.agents.agent import ToolSpec
    from harken.agents.history import Message
    from harken.agents.llm import WantedTool
    from tests.integration.gateway.conftest import Device, Gateway

    OpenGateway = Callable[..., Awaitable[Gateway]]

pytestmark = pytest.mark.integration

QUIET_260_MS = bytes(2 * 16 * 260)
SPEECH = Path(__file__).parents[2] / "data" / "speech" / "what_time_is_it.wav"


async def manual(device: Device, ms: int) -> None:
    """A pause that an agent would take for the end, then the button."""
    await device.send(type="listen", state="start", mode="manual")
    await device.speak(ms)
    await device.speak(0, bytes(2 * 16 * 400))
    await device.speak(ms)
    await device.send(type="listen", state="stop")


async def auto(device: Device, ms: int) -> None:
    await device.send(type="listen", state="start", mode="auto")
    await device.speak(ms)
    await device.speak(0, QUIET_260_MS)


@pytest.mark.parametrize(
    "order", [("manual", "auto"), ("auto", "manual"), ("auto", "manual", "auto", "manual")]
)
async def test_both_ways_on_one_connection(
    open_gateway: OpenGateway, order: tuple[str, ...]
) -> None:
    gateway = await open_gateway()
    device = await gateway.connect()
    await device.say_hello()
    for mode in order:
        await (manual if mode == "manual" else auto)(device, 300)
        heard = (await device.expect("stt"))["text"]
        await device.expect("tts", state="stop")
        if mode == "manual":
            assert heard == "heard 1000 ms"
        else:
            assert 480 <= int(heard.split()[1]) <= 560
    ends = {"manual": "client", "auto": "agent"}
    assert gateway.agents[0].listened == [ends[mode] for mode in order]
    assert len(device.messages("stt")) == len(order)


async def test_a_button_may_cut_an_automatic_turn_short(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway()
    device = await gateway.connect()
    await device.say_hello()
    await device.send(type="listen", state="start", mode="auto")
    await device.speak(300)
    await device.send(type="listen", state="stop")
    assert (await device.expect("stt"))["text"] == "heard 300 ms"
    await device.expect("tts", state="stop")


async def test_a_turn_that_both_end_at_once_has_one_answer(open_gateway: OpenGateway) -> None:
    """The stop is on its way, in the same packet, while the agent hears the end."""
    gateway = await open_gateway()
    device = await gateway.connect()
    await device.say_hello()
    await device.send(type="listen", state="start", mode="auto")
    await device.speak(300)
    encoder = Encoder(16_000)
    packets = [encoder.encode(bytes(encoder.frame_bytes)) for _ in range(15)]
    frames = [Frame(Opcode.BINARY, packet) for packet in packets]
    frames.append(Frame(Opcode.TEXT, json.dumps({"type": "listen", "state": "stop"}).encode()))
    device.socket.transport.write(b"".join(frame.serialize(mask=True) for frame in frames))
    await device.expect("tts", state="stop")
    await auto(device, 400)
    await device.expect("tts", state="stop")
    await gateway.until(lambda: len(gateway.records) == 2)
    assert not any(record.interrupted for record in gateway.records)
    assert len(gateway.agents[0].heard) == len(device.messages("stt")) == 2


async def test_an_agent_without_an_ear_for_the_end_still_serves_buttons(
    open_gateway: OpenGateway,
) -> None:
    gateway = await open_gateway()
    device = await gateway.connect()
    await device.say_hello()
    await gateway.until(lambda: bool(gateway.agents))
    gateway.agents[0].deaf = True
    await auto(device, 300)
    assert (await device.expect("alert"))["message"] == (
        "it has no ear for the end of a turn (give it one)"
    )
    await device.expect("tts", state="stop")
    await manual(device, 300)
    assert (await device.expect("stt"))["text"] == "heard 1000 ms"
    await device.expect("tts", state="stop")
    await gateway.until(lambda: len(gateway.records) == 2)
    assert gateway.records[0].errors == (
        "agent: it has no ear for the end of a turn (give it one)",
    )
    assert gateway.records[1].errors == ()


class SimStt:
    """Hears how long the utterance is, in tenths of a second."""

    async def prepare(self) -> None: ...

    async def transcribe(self, pcm: bytes, language: str) -> str:
        return f"{len(pcm) // 3_200} tenths"

    async def close(self) -> None: ...


class SimLlm:
    """Says the same always."""

    prompt_tokens: int | None = None

    async def prepare(self, instructions: str) -> None: ...

    async def expect(self, messages: Sequence[Message]) -> None: ...

    async def reply(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec]
    ) -> AsyncGenerator[str | WantedTool]:
        yield "So it is."

    async def close(self) -> None: ...


class SimTts:
    """A short tone."""

    rate = 16_000

    async def prepare(self) -> None: ...

    async def speak(self, text: str) -> AsyncGenerator[bytes]:
        yield (9_000 * np.sin(np.arange(1_600) / 8)).astype(np.int16).tobytes()

    async def close(self) -> None: ...


@pytest.fixture
def question() -> bytes:
    """Somebody asks what time it is, at 16 kHz."""
    with wave.open(str(SPEECH)) as file:
        assert file.getframerate() == 16_000
        pcm: bytes = file.readframes(file.getnframes())
        return pcm


@pytest.fixture
async def cascade() -> CascadeAgent:
    """A cascade that hears ends of turns by Silero's model."""
    try:
        vad = Store().weights("silero-vad")
    except ModelMissingError:
        pytest.skip("harken models pull silero-vad")
    return CascadeAgent(Engines(SimStt(), SimLlm(), SimTts(), vad), AgentSettings())


@pytest.mark.models
@pytest.mark.parametrize("order", [("manual", "realtime", "auto"), ("auto", "realtime", "manual")])
async def test_the_cascade_hears_the_end_where_the_device_does_not(
    open_gateway: OpenGateway, cascade: CascadeAgent, question: bytes, order: tuple[str, ...]
) -> None:
    gateway = await open_gateway(agent=cascade)
    device = await gateway.connect()
    await device.say_hello()
    silence = bytes(2 * 16 * 900)
    for number, mode in enumerate(order):
        await device.send(type="listen", state="start", mode=mode)
        # Most of a second of silence ends the turn unless the device is to end it.
        await device.speak(0, silence + question + silence)
        if mode == "manual":
            await device.speak(0, question)
            assert len(device.messages("stt")) == number
            await device.send(type="listen", state="stop")
        tenths = int((await device.expect("stt"))["text"].split()[0])
        await device.expect("tts", state="stop")
        spoken = len(question) // 3_200
        if mode == "manual":
            assert tenths > 2 * spoken + 5
        else:
            assert tenths < spoken + 8
    assert len(device.messages("stt")) == len(order)
