"""Hostile devices beside good ones: the good ones do not notice."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from websockets.frames import Frame, Opcode

from harken.links.websocket import Limits

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.integration.gateway.conftest import Device, Gateway

    OpenGateway = Callable[..., Awaitable[Gateway]]

pytestmark = pytest.mark.integration


def write(device: Device, opcode: Opcode, data: bytes) -> None:
    device.socket.transport.write(Frame(opcode, data).serialize(mask=True))


async def flood(device: Device) -> None:
    while not device.closed.is_set():
        for _ in range(50):
            write(device, Opcode.BINARY, b"\x48abc")
        await asyncio.sleep(0)


async def talk_garbage(device: Device) -> None:
    for number in range(300):
        if device.closed.is_set():
            return
        write(device, Opcode.TEXT, bytes([number % 256]) * (number % 97))
        write(device, Opcode.BINARY, bytes([255 - number % 256]) * (number % 89))
        await asyncio.sleep(0.001)


async def change_its_mind(device: Device) -> None:
    for number in range(100):
        if device.closed.is_set():
            return
        state = ("start", "stop", "detect")[number % 3]
        await device.send(type="listen", state=state, mode="manual", text="what")
        await device.send(type="abort")


async def stall_in_mid_turn(device: Device) -> None:
    await device.send(type="listen", state="start", mode="manual")
    await device.speak(3_000)
    await device.send(type="listen", state="stop")
    device.socket.transport.pause_reading()


async def vanish_in_mid_turn(device: Device) -> None:
    await device.send(type="listen", state="start", mode="manual")
    await device.speak(2_000)
    await device.send(type="listen", state="stop")
    await device.until(lambda: bool(device.packets()))
    device.vanish()


async def vanish_while_speaking(device: Device) -> None:
    await device.send(type="listen", state="start", mode="manual")
    await device.speak(500)
    device.vanish()


async def test_good_devices_do_not_notice_hostile_ones(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway(
        limits=Limits(unread_s=1.0, messages_a_second=300, message_burst=600)
    )
    hostile = (
        flood,
        talk_garbage,
        change_its_mind,
        stall_in_mid_turn,
        vanish_in_mid_turn,
        vanish_while_speaking,
    )
    good = await gateway.connect("good")
    await good.say_hello()
    devices: list[Device] = []
    for number, _ in enumerate(hostile):
        devices.append(await gateway.connect(f"hostile-{number}"))
        await devices[-1].say_hello()
    async with asyncio.TaskGroup() as group:
        for attack, device in zip(hostile, devices, strict=True):
            group.create_task(attack(device))
        for number in range(1, 6):
            await good.send(type="listen", state="start", mode="manual")
            await good.speak(100 * number)
            await good.send(type="listen", state="stop")
            await good.expect("stt", text=f"heard {100 * number} ms")
            await good.expect("tts", state="stop", within=20)
    records = [record for record in gateway.records if record.device == "good"]
    assert [record.transcript for record in records[:4]] == [
        f"heard {100 * number} ms" for number in range(1, 5)
    ]
    assert not any(record.errors or record.interrupted for record in records)
    assert gateway.links[0].counters.refused == {}


async def test_who_vanishes_in_mid_turn_leaves_a_record_and_nothing_else(
    open_gateway: OpenGateway,
) -> None:
    gateway = await open_gateway()
    device = await gateway.connect()
    await device.say_hello()
    await vanish_in_mid_turn(device)
    await gateway.until(lambda: bool(gateway.records))
    record = gateway.records[0]
    assert record.interrupted
    assert record.errors == ("link: the connection broke",)
    await gateway.until(lambda: gateway.door.links == 0)
    assert gateway.agents[0].closed


async def test_a_storm_of_connections(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway()
    for _ in range(30):
        device = await gateway.connect()
        await device.say_hello()
        device.vanish()
    await gateway.until(lambda: gateway.door.links == 0)
    await gateway.until(lambda: all(agent.closed for agent in gateway.agents))
    device = await gateway.connect()
    await device.say_hello()
    await device.send(type="listen", state="detect", text="")
    await device.send(type="listen", state="start", mode="manual")
    await device.speak(200)
    await device.send(type="listen", state="stop")
    await device.expect("tts", state="stop")
