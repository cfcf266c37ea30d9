"""Text in the place of a wake word: what was typed is answered, what was spoken is not."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from harken.links.typed import HOLD_S

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.integration.gateway.conftest import Device, Gateway

    OpenGateway = Callable[..., Awaitable[Gateway]]

pytestmark = pytest.mark.integration

WORDS = ("hey jarvis",)


async def detect(device: Device, text: str) -> None:
    await device.send(type="listen", state="detect", text=text)


async def only_turn(gateway: Gateway, device: Device) -> str:
    """What was heard in the one turn that there was; asks a last question to be sure."""
    await detect(device, "was that all")
    await device.expect("stt", text="was that all")
    heard = [message["text"] for message in device.messages("stt")]
    assert len(heard) == 2
    assert "hello my dear toaster" not in [record.transcript for record in gateway.records]
    return str(heard[0])


async def test_a_wake_word_that_nobody_told_of_still_wakes(open_gateway: OpenGateway) -> None:
    """As boards do: audio of the word, the word, and at once the microphone."""
    gateway = await open_gateway(wake_words=WORDS)
    device = await gateway.connect()
    await device.say_hello()
    await device.speak(400)
    await detect(device, "hello my dear toaster")
    await device.send(type="listen", state="start", mode="auto")
    await device.speak(300)
    await device.speak(0, bytes(2 * 16 * 260))
    await device.expect("tts", state="stop")
    assert (await only_turn(gateway, device)).startswith("heard")


@pytest.mark.parametrize("what", ["stop", "abort"])
async def test_nor_is_a_word_answered_that_a_device_goes_on_from(
    open_gateway: OpenGateway, what: str
) -> None:
    gateway = await open_gateway(wake_words=WORDS)
    device = await gateway.connect()
    await device.say_hello()
    await detect(device, "hello my dear toaster")
    if what == "stop":
        await device.send(type="listen", state="stop")
    else:
        await device.send(type="abort")
    await detect(device, "what time is it")
    assert await only_turn(gateway, device) == "what time is it"


async def test_audio_of_a_closed_microphone_means_a_wake_word(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway(wake_words=WORDS)
    device = await gateway.connect()
    await device.say_hello()
    await detect(device, "hello my dear toaster")
    await device.speak(100)
    await detect(device, "what time is it")
    assert await only_turn(gateway, device) == "what time is it"


@pytest.mark.parametrize("mode", ["manual", "auto", "realtime"])
async def test_what_is_typed_beside_an_open_microphone_is_answered(
    open_gateway: OpenGateway, mode: str
) -> None:
    gateway = await open_gateway(wake_words=WORDS)
    device = await gateway.connect()
    await device.say_hello()
    await device.send(type="listen", state="start", mode=mode)
    silence = asyncio.create_task(device.speak(0, bytes(2 * 16 * 5_000), pace=0.02))
    await gateway.until(lambda: gateway.links[0].counters.frames_up > 5)
    began = time.monotonic()
    await detect(device, "what time is it")
    await device.expect("stt", text="what time is it")
    assert time.monotonic() - began >= HOLD_S
    await device.expect("tts", state="stop")
    silence.cancel()
    await gateway.until(lambda: bool(gateway.records))
    assert gateway.records[0].transcript == "what time is it"
    assert not gateway.records[0].interrupted


async def test_what_is_typed_over_an_answer_interrupts_it(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway(wake_words=WORDS)
    device = await gateway.connect()
    await device.say_hello()
    await gateway.until(lambda: bool(gateway.agents))
    gateway.agents[0].ms = 5_000
    await detect(device, "tell me more")
    await device.expect("tts", state="start")
    await detect(device, "enough")
    await device.expect("tts", state="stop", harken={"cancelled": True})
    await device.expect("stt", text="enough")
    await gateway.until(lambda: bool(gateway.records))
    assert gateway.records[0].transcript == "tell me more"
    assert gateway.records[0].interrupted
    assert gateway.agents[0].interrupts[0] > 0


async def test_one_text_after_the_other_keeps_its_order(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway(wake_words=WORDS)
    device = await gateway.connect()
    await device.say_hello()
    await detect(device, "first")
    await detect(device, "second")
    await device.expect("stt", text="second")
    await device.expect("tts", state="stop", harken=None)
    await gateway.until(lambda: len(gateway.records) == 2)
    assert [record.transcript for record in gateway.records] == ["first", "second"]


async def test_our_own_firmware_only_ever_means_wake_words(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway(wake_words=WORDS)
    device = await gateway.connect()
    await device.say_hello(harken={"v": 1, "features": [], "frame_ms": [20], "now": 0})
    await detect(device, "hello my dear toaster")
    await device.send(type="listen", state="start", mode="manual")
    await device.speak(200)
    await device.send(type="listen", state="stop")
    await device.expect("tts", state="stop")
    assert [message["text"] for message in device.messages("stt")] == ["heard 200 ms"]


async def test_a_device_that_leaves_takes_its_text_along(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway(wake_words=WORDS)
    device = await gateway.connect()
    await device.say_hello()
    await detect(device, "hello my dear toaster")
    await device.close()
    await gateway.until(lambda: gateway.door.links == 0)
    assert gateway.records == []
    assert gateway.agents[0].closed
