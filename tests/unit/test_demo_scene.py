"""A scene ends when what it waits for can no longer come, and says why."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest

from harken.errors import RigError, StartError
from harken.session.timeline import TurnRecord
from harken_hil.board.sim_board import Mark, SimBoard
from harken_hil.demo.outcome import judge
from harken_hil.demo.scene import Scene
from harken_hil.demo.script import Script
from harken_hil.speech import Clip
from harken_hil.world import World, quiet_room

if TYPE_CHECKING:
    from pathlib import Path

    from harken_hil.demo.gateway import GatewayProcess

CLIP = Clip.of((8000 * np.sin(np.arange(16_000) * 0.2)).astype(np.int16))
RECORD = TurnRecord(number=1, device="d", session="s", errors=("agent: out of memory",))


class EndingGateway:
    """A gateway that ends when it is told to."""

    def __init__(self) -> None:
        self.end = asyncio.Event()
        self.turns = [RECORD]

    async def ended(self) -> None:
        await self.end.wait()
        raise StartError("the gateway has ended: killed")

    def finished_turns(self) -> list[TurnRecord]:
        turns, self.turns = self.turns, []
        return turns


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A board that is never switched on: its marks are put there by the test."""
    board = SimBoard(tmp_path / "flash", World(quiet_room()))
    script = Script("button", "okay_nabu", None, CLIP, "", None)
    gateway = cast("GatewayProcess", EndingGateway())
    return Scene(script, World(quiet_room()), board, gateway, "02:00")


def mark(scene: Scene, name: str, value: Any) -> None:
    scene.board.marks.append(Mark(name, 0, value))
    scene.board._notify()


async def begun(waiting: asyncio.Task[Any]) -> None:
    """Let what a task awaits begin."""
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()


async def test_what_comes_is_returned(scene: Scene) -> None:
    waiting = asyncio.create_task(scene.watched(scene.board.wait_mark("drained", timeout=30)))
    await begun(waiting)
    mark(scene, "drained", 7)
    assert (await asyncio.wait_for(waiting, 5)).value == 7


async def test_an_error_of_the_device_ends_the_wait_with_its_text(scene: Scene) -> None:
    waiting = asyncio.create_task(scene.watched(scene.board.wait_mark("drained", timeout=30)))
    await begun(waiting)
    mark(scene, "error", "the connection was lost\x1b[2J")
    with pytest.raises(RigError, match="the device: the connection was lost") as failed:
        await asyncio.wait_for(waiting, 5)
    assert "\x1b" not in str(failed.value)


async def test_an_error_of_an_earlier_turn_is_no_failure_of_this_one(scene: Scene) -> None:
    mark(scene, "error", "an old one")
    scene._marks_from = 1
    waiting = asyncio.create_task(scene.watched(scene.board.wait_mark("drained", timeout=30)))
    await begun(waiting)
    mark(scene, "drained", None)
    await asyncio.wait_for(waiting, 5)


async def test_a_gateway_that_ends_ends_the_wait(scene: Scene) -> None:
    waiting = asyncio.create_task(scene.watched(scene.world.heard(0, within_s=30)))
    await begun(waiting)
    cast("EndingGateway", scene.gateway).end.set()
    with pytest.raises(StartError, match="killed"):
        await asyncio.wait_for(waiting, 5)


async def test_nothing_goes_on_after_the_wait(scene: Scene) -> None:
    before = asyncio.all_tasks()
    waiting = asyncio.create_task(scene.watched(scene.board.wait_mark("drained", timeout=30)))
    await begun(waiting)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert asyncio.all_tasks() == before


async def test_a_scene_that_fails_keeps_what_the_gateway_said(scene: Scene) -> None:
    playing = asyncio.create_task(scene.play())
    await begun(playing)
    mark(scene, "error", "the gateway cannot be reached")
    await asyncio.wait_for(playing, 5)
    assert scene.records == [RECORD]
    outcome = judge(scene)
    assert not outcome.ok
    (check,) = [check for check in outcome.checks if check.name == "Finished"]
    assert "the gateway cannot be reached" in check.detail
