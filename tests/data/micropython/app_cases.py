"""What the device does beside its turns. Runs in MicroPython."""

import asyncio
import json

from sim_parts import WAKE, until
from sim_stage import Stage


async def case_the_hearing_is_told_while_there_is_something_to_hear():
    stage = Stage()
    stage.connect()
    stage.app._gateway._hearing_at -= 1000
    await asyncio.sleep_ms(30)
    assert not [mark for mark in stage.hal.marks if mark[0] == "hearing"]
    await stage.hear(WAKE)
    await until(lambda: ("hearing", stage.engine.hearing.state) in stage.hal.marks, "the mark")
    payload = {"id": 13, "method": "tools/call", "params": {"name": "self.get_device_status"}}
    stage.tell("mcp", payload=payload)
    status = json.loads(stage.said("mcp")[0]["payload"]["result"]["content"][0]["text"])
    assert status["hearing"] == {"erle_db": 21, "delay_ms": 30, "converged": True}, status


async def case_tools_change_the_device_and_are_kept():
    stage = Stage()
    saved = []
    stage.app._controls._config.save = lambda: saved.append(1)
    stage.connect()
    call = {"name": "self.audio_speaker.set_volume", "arguments": {"volume": 35}}
    payload = {"jsonrpc": "2.0", "id": 11, "method": "tools/call", "params": call}
    stage.tell("mcp", payload=payload)
    reply = stage.said("mcp")[0]["payload"]
    assert reply["id"] == 11 and reply["result"]["isError"] is False, reply
    assert stage.engine.volume == 35
    call = {"name": "self.led.set_color", "arguments": {"r": 1, "g": 2, "b": 3}}
    payload = {"jsonrpc": "2.0", "id": 12, "method": "tools/call", "params": call}
    stage.tell("mcp", payload=payload)
    assert stage.hal.colours[-1] == (1, 2, 3)
    payload = {"id": 13, "method": "tools/call", "params": {"name": "self.get_device_status"}}
    stage.tell("mcp", payload=payload)
    status = json.loads(stage.said("mcp")[2]["payload"]["result"]["content"][0]["text"])
    assert status["audio_speaker"]["volume"] == 35 and status["led"]["color"] == [1, 2, 3]
    await until(lambda: saved, "settings saved")
    stage.tell("mcp", payload={"method": "notifications/initialized"})
    assert len(stage.said("mcp")) == 3


async def case_a_reboot_is_obeyed_and_alerts_are_logged():
    stage = Stage()
    stage.connect()
    stage.tell("alert", status="low", message="battery\x1b[31m\n", emotion="sad")
    assert stage.hal.lines[-1] == "gateway: low: battery?[31m?", stage.hal.lines
    stage.tell("system", command="reboot")
    assert stage.hal.resets == 1


async def case_a_loop_that_dies_ends_the_app():
    stage = Stage()

    def broken():
        raise ValueError("the codec is gone")

    stage.engine.hop = broken
    try:
        await asyncio.wait_for(stage.running, 2)
    except ValueError as error:
        assert str(error) == "the codec is gone"
    else:
        raise AssertionError("the app went on")


def case_the_watchdog_wants_both_loops():
    from harken_device import watchdog

    feeds = []
    clock = [1000]
    watchdog.ticks_ms = lambda: clock[0]
    dog = watchdog.Watchdog(lambda: feeds.append(1))
    assert dog.check() and len(feeds) == 1
    clock[0] += 2001
    assert dog.stuck() == watchdog.AUDIO and not dog.check()
    dog.beat(watchdog.AUDIO)
    assert dog.check()
    clock[0] += 13_000
    dog.beat(watchdog.AUDIO)
    assert dog.stuck() == watchdog.NETWORK and not dog.check()
    dog.beat(watchdog.NETWORK)
    assert dog.check() and len(feeds) == 3
