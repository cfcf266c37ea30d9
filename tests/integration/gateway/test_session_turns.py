"""Turns from end to end, over a real WebSocket."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from harken.agents import agent as said
from harken.config.settings import SessionSettings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.integration.gateway.conftest import Device, EchoAgent, Gateway

    OpenGateway = Callable[..., Awaitable[Gateway]]

pytestmark = pytest.mark.integration

OURS = {"v": 1, "features": ["playout", "marks", "endpoint"], "frame_ms": [20, 60], "now": 0}


async def ask(device: Device, ms: int = 400) -> None:
    await device.send(type="listen", state="start", mode="manual")
    await device.speak(ms)
    await device.send(type="listen", state="stop")


@pytest.mark.parametrize("version", [1, 2, 3])
async def test_a_turn_that_the_device_ends(open_gateway: OpenGateway, version: int) -> None:
    gateway = await open_gateway()
    device = await gateway.connect(version=version)
    await device.say_hello()
    await ask(device, 600)
    stt = await device.expect("stt")
    assert stt["text"] == "heard 600 ms"
    await device.expect("tts", state="start")
    await device.expect("tts", state="sentence_start", text="You said: heard 600 ms")
    await device.expect("tts", state="stop")
    assert len(device.packets()) == 10
    await gateway.until(lambda: bool(gateway.records))
    record = gateway.records[0]
    assert record.transcript == "heard 600 ms"
    assert record.spoken == record.answer == "You said: heard 600 ms"
    assert record.sent_ms == record.played_ms == 600
    assert not record.interrupted
    assert not record.errors
    assert list(record.stages) == [
        "speech_end", "uplink_last", "endpoint", "stt_final", "llm_first", "tts_first",
        "downlink_first",
    ]  # fmt: skip


async def test_the_answer_sounds_like_what_was_said(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway()
    device = await gateway.connect()
    await device.say_hello()
    await ask(device, 1_000)
    await device.expect("tts", state="stop")
    heard = np.frombuffer(device.pcm(), np.int16).astype(float)
    spectrum = np.abs(np.fft.rfft(heard[4_000:12_000]))
    assert abs(np.argmax(spectrum) * 2 - 440) <= 4
    assert heard.std() > 5_000


async def test_order_of_what_is_sent_down(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway()
    device = await gateway.connect()
    await device.say_hello()
    await ask(device)
    await device.expect("tts", state="stop")
    kinds = [
        "audio" if isinstance(item.message, bytes) else item.message.get("state")
        for item in device.received
        if isinstance(item.message, bytes) or item.message["type"] == "tts"
    ]
    audio = kinds.count("audio")
    assert kinds == ["start", "sentence_start", *["audio"] * audio, "stop"]


async def test_the_agent_ends_the_turn_of_a_stock_device(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway()
    device = await gateway.connect()
    await device.say_hello()
    await device.send(type="listen", state="start", mode="auto")
    await device.speak(400)
    await device.speak(0, bytes(2 * 16 * 260))
    await device.expect("tts", state="stop")
    await gateway.until(lambda: bool(gateway.records))
    stages = gateway.records[0].stages
    assert gateway.agents[0].listened == ["agent"]
    assert stages["endpoint"] == pytest.approx(200, abs=21)


async def test_our_device_ends_its_turns_in_20_ms_frames(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway()
    device = await gateway.connect()
    hello = await device.say_hello(harken=OURS)
    assert hello["harken"] == {
        "v": 1,
        "features": ["endpoint", "marks", "playout"],
        "frame_ms": 20,
    }
    assert hello["audio_params"]["frame_duration"] == 20
    await device.send(type="listen", state="start", mode="auto")
    await device.speak(400)
    await device.send(type="listen", state="stop", harken={"speech": True})
    await device.expect("tts", state="stop")
    assert gateway.agents[0].listened == ["client"]
    assert len(device.packets()) == 20


async def test_marks_of_the_device_make_voice_to_voice(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway()
    device = await gateway.connect()
    await device.say_hello(harken=OURS)
    await device.send(type="listen", state="start", mode="auto")
    await device.speak(400)
    await device.send(type="listen", state="stop")
    booted = time.monotonic() - 3

    def now() -> int:
        return round((time.monotonic() - booted) * 16_000)

    marks = {"speech_end": 16_000, "device_endpoint": 24_000, "uplink_last": 24_000}
    await device.send(type="harken", kind="marks", now=now(), samples=marks)
    await device.expect("tts", state="stop")
    marks = {"heard_first": 32_000, "unheard_of": 1}
    await device.send(type="harken", kind="marks", now=now(), samples=marks)
    await device.send(type="harken", kind="playout", played_ms=400, buffered_ms=0, ended=True)
    await gateway.until(lambda: bool(gateway.records))
    record = gateway.records[0]
    assert record.heard_ms == record.stages["heard_first"] == pytest.approx(1_000, abs=50)
    assert record.stages["device_endpoint"] == pytest.approx(500, abs=0.2)
    assert "unheard_of" not in record.stages
    assert record.played_ms == 400


async def test_silence_ends_without_a_turn(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway()
    device = await gateway.connect()
    await device.say_hello(harken=OURS)
    await device.send(type="listen", state="start", mode="auto")
    await device.speak(200)
    await device.send(type="listen", state="stop", harken={"speech": False})
    await device.expect("tts", state="stop")
    await device.send(type="listen", state="start", mode="auto")
    await device.speak(300)
    await device.send(type="listen", state="stop")
    assert (await device.expect("stt"))["text"] == "heard 300 ms"
    await device.expect("tts", state="stop")
    await gateway.until(lambda: bool(gateway.records))
    assert [record.number for record in gateway.records] == [1]


async def test_typed_text_is_answered(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway(wake_words=frozenset({"hey jarvis"}))
    device = await gateway.connect()
    await device.say_hello()
    await device.send(type="listen", state="detect", text="Hey Jarvis!")
    await device.send(type="listen", state="detect", text="what time is it")
    assert (await device.expect("stt"))["text"] == "what time is it"
    await device.expect("tts", state="stop")
    await gateway.until(lambda: bool(gateway.records))
    assert [record.transcript for record in gateway.records] == ["what time is it"]


async def test_audio_outside_of_a_turn_is_not_heard(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway()
    device = await gateway.connect()
    await device.say_hello()
    await device.speak(2_000)
    await device.send(type="listen", state="detect", text="hi")
    await ask(device, 300)
    assert (await device.expect("stt"))["text"] == "heard 300 ms"
    await device.expect("tts", state="stop")


async def test_abort_silences_and_says_how_much_was_heard(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway()
    device = await gateway.connect()
    await device.say_hello(harken=OURS)
    await device.send(type="listen", state="start", mode="auto")
    await device.speak(4_000)
    await device.send(type="listen", state="stop")
    await device.until(lambda: len(device.packets()) >= 20)
    await device.send(type="harken", kind="playout", played_ms=137, buffered_ms=260)
    await device.send(type="abort", reason="wake_word_detected")
    await device.expect("tts", state="stop", harken={"cancelled": True})
    sent = len(device.packets())
    await ask(device, 300)
    assert (await device.expect("stt", text="heard 300 ms"))["text"] == "heard 300 ms"
    await device.expect("tts", state="stop")
    agent = gateway.agents[0]
    assert len(device.packets()) == sent + 15
    assert agent.interrupts[0] == pytest.approx(137, abs=30)
    await gateway.until(lambda: len(gateway.records) == 1)
    assert gateway.records[0].interrupted
    assert gateway.records[0].played_ms == pytest.approx(137, abs=30)
    assert gateway.records[0].sent_ms == sent * 20


async def test_a_new_turn_interrupts_the_answer_and_nothing_leaks(
    open_gateway: OpenGateway,
) -> None:
    gateway = await open_gateway()
    device = await gateway.connect()
    await device.say_hello()
    await ask(device, 5_000)
    await device.expect("tts", state="start")
    await device.until(lambda: bool(device.packets()))
    await ask(device, 300)
    await device.expect("stt", text="heard 300 ms")
    await device.expect("tts", state="start")
    mark = len(device.packets())
    await device.expect("tts", state="stop")
    await device.expect("tts", state="stop")
    assert len(device.packets()) - mark <= 5
    sentences = [message["text"] for message in device.messages("tts", state="sentence_start")]
    assert sentences == ["You said: heard 5000 ms", "You said: heard 300 ms"]
    await gateway.until(lambda: len(gateway.records) == 2)
    assert [record.interrupted for record in gateway.records] == [True, False]


async def test_late_words_of_a_cancelled_turn_are_dropped(open_gateway: OpenGateway) -> None:
    """An agent that goes on for a while after it was interrupted is not heard again."""
    gateway = await open_gateway()
    device = await gateway.connect()
    await device.say_hello()
    await gateway.until(lambda: bool(gateway.agents))
    agent = gateway.agents[0]
    agent.hold = asyncio.Event()
    agent.deaf_to_interrupt = True
    await ask(device, 2_000)
    await device.until(lambda: bool(device.packets()))
    await device.send(type="abort")
    await device.expect("tts", state="stop", harken={"cancelled": True})
    count = len(device.received)
    agent.hold.set()
    await ask(device, 300)
    await device.expect("stt", text="heard 300 ms")
    texts = [
        item.message.get("text")
        for item in device.received[count:]
        if isinstance(item.message, dict)
    ]
    assert "You said: heard 2000 ms" not in texts
    await device.expect("tts", state="stop")
    sentences = [message["text"] for message in device.messages("tts", state="sentence_start")]
    assert sentences[-1] == "You said: heard 300 ms"


async def test_realtime_barge_in(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway()
    device = await gateway.connect()
    await device.say_hello()
    await device.send(type="listen", state="start", mode="realtime")
    await device.speak(3_000)
    await device.speak(0, bytes(2 * 16 * 260))
    await device.until(lambda: bool(device.packets()))
    await device.speak(300)
    await device.expect("tts", state="stop", harken={"cancelled": True})
    await device.speak(0, bytes(2 * 16 * 260))
    await device.expect("tts", state="start")
    await gateway.until(lambda: len(gateway.agents[0].heard) == 2)
    await device.expect("tts", state="start")
    await device.expect("tts", state="stop")
    assert len(gateway.agents[0].interrupts) == 1


async def test_a_failed_turn_is_said_and_the_session_goes_on(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway()
    device = await gateway.connect()
    await device.say_hello()
    await gateway.until(lambda: bool(gateway.agents))
    gateway.agents[0].fail = said.AgentFailed("llm_down", "the model is away", "start it")
    await ask(device)
    alert = await device.expect("alert")
    assert set(alert) == {"type", "session_id", "status", "message", "emotion"}
    assert alert["message"] == "the model is away start it"
    await device.expect("tts", state="stop")
    gateway.agents[0].fail = None
    await ask(device)
    await device.expect("tts", state="start")
    await device.expect("tts", state="stop")
    await gateway.until(lambda: len(gateway.records) == 2)
    assert gateway.records[0].errors == ("llm_down: the model is away start it",)
    assert gateway.records[1].errors == ()


async def test_a_fatal_failure_ends_the_session(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway()
    device = await gateway.connect()
    await device.say_hello()
    await gateway.until(lambda: bool(gateway.agents))
    gateway.agents[0].fail = said.AgentFailed("gone", "no agent left", fatal=True)
    await ask(device)
    await device.expect("alert")
    await device.closed.wait()
    assert device.socket.close_reason == "the agent failed: no agent left"
    assert gateway.agents[0].closed


async def test_a_silent_agent_is_given_up(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway(SessionSettings(answer_timeout_s=0.3))
    device = await gateway.connect()
    await device.say_hello()
    await gateway.until(lambda: bool(gateway.agents))
    gateway.agents[0].mute = True
    await ask(device)
    alert = await device.expect("alert")
    assert "silent" in alert["message"]
    await device.expect("tts", state="stop")
    gateway.agents[0].mute = False
    await ask(device)
    await device.expect("stt")
    await device.expect("tts", state="stop")
    await gateway.until(lambda: len(gateway.records) == 2)
    assert gateway.records[0].errors[0].startswith("agent_timeout:")


async def test_an_agent_that_cannot_start_is_said(open_gateway: OpenGateway) -> None:
    from harken.errors import AgentError

    gateway = await open_gateway()

    def broken() -> EchoAgent:
        agent = agent_class()
        agent.start_error = AgentError("no model", hint="harken models pull")
        return agent

    agent_class, gateway.make_agent = gateway.make_agent, broken
    device = await gateway.connect()
    await device.say_hello()
    alert = await device.expect("alert")
    assert "harken models pull" in alert["message"]
    await device.closed.wait()


async def test_what_is_said_while_the_agent_starts_is_heard(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway()

    def slow() -> EchoAgent:
        agent = agent_class()
        agent.start_delay = 0.2
        return agent

    agent_class, gateway.make_agent = gateway.make_agent, slow
    device = await gateway.connect()
    await device.say_hello()
    await ask(device, 500)
    assert (await device.expect("stt"))["text"] == "heard 500 ms"
    await device.expect("tts", state="stop")


async def test_an_idle_device_is_let_go(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway(SessionSettings(idle_timeout_s=0.3))
    device = await gateway.connect()
    await device.say_hello()
    await device.closed.wait()
    assert device.socket.close_reason == "nothing was heard for 0.3 s"
    assert gateway.agents[0].closed
    await gateway.until(lambda: gateway.door.links == 0)


async def test_an_endless_utterance_is_ended(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway(SessionSettings(max_turn_s=0.5))
    device = await gateway.connect()
    await device.say_hello()
    await device.send(type="listen", state="start", mode="manual")
    await device.speak(1_500, pace=0.02)
    assert (await device.expect("stt"))["text"].startswith("heard")
    await device.expect("tts", state="stop")


async def test_audio_is_paced_by_what_the_device_can_hold(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway()
    device = await gateway.connect()
    await device.say_hello()
    await gateway.until(lambda: bool(gateway.agents))
    gateway.agents[0].ms = 1_500
    await ask(device)
    await device.expect("tts", state="stop")
    arrivals = [item.at for item in device.received if isinstance(item.message, bytes)]
    began = arrivals[0]
    assert len(arrivals) == 25
    for number, at in enumerate(arrivals, 1):
        # 300 ms ahead and one step, on a machine that may be late but never early.
        assert number * 60 - (at - began) * 1000 <= 300 + 60 + 20
    assert time.monotonic() - began >= 1.1


async def test_devices_speak_at_once(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway()
    devices = [await gateway.connect(f"00:00:00:00:00:{number:02x}") for number in range(8)]
    for number, device in enumerate(devices):
        await device.say_hello()
        await ask(device, 200 + 60 * number)
    for number, device in enumerate(devices):
        assert (await device.expect("stt"))["text"] == f"heard {200 + 60 * number} ms"
        await device.expect("tts", state="stop")
    assert len({device.hello["session_id"] for device in devices}) == 8
