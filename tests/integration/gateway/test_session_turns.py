"""Turns from end to end, over a real WebSocket."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.integration.gateway.conftest import Gateway

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("version", [1, 2, 3])
async def test_a_turn_that_the_device_ends(
    open_gateway: Callable[..., Awaitable[Gateway]], version: int
) -> None:
    gateway = await open_gateway()
    device = await gateway.connect(version=version)
    await device.say_hello()
    await device.send(type="listen", state="start", mode="manual")
    await device.speak(600)
    await device.send(type="listen", state="stop")
    stt = await device.expect("stt")
    assert stt["text"] == "heard 600 ms"
    await device.expect("tts", state="start")
    await device.expect("tts", state="sentence_start")
    await device.expect("tts", state="stop")
    assert len(device.packets()) == 10
    await gateway.until(lambda: bool(gateway.records))
    record = gateway.records[0]
    assert record.transcript == "heard 600 ms"
    assert record.spoken == record.answer == "You said: heard 600 ms"
    assert record.sent_ms == 600
    assert not record.interrupted
    assert list(record.stages) == [
        "speech_end", "uplink_last", "endpoint", "stt_final", "llm_first", "tts_first",
        "downlink_first",
    ]  # fmt: skip
