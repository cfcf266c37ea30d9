"""Puts the demo together: gateway, board, room and script; leaves everything in one folder."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harken.errors import RigError
from harken_hil.board.flash_image import build_flash
from harken_hil.board.sim_board import SimBoard
from harken_hil.demo.gateway import GatewayProcess
from harken_hil.demo.outcome import judge
from harken_hil.demo.scene import Scene
from harken_hil.demo.scenery import Scenery
from harken_hil.demo.script import wake_model
from harken_hil.demo.story import tell
from harken_hil.report import render

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from harken_hil.demo.live import Live
    from harken_hil.demo.outcome import Outcome
    from harken_hil.demo.script import Script
    from harken_hil.demo.settings import RigSettings

__all__ = ["Run", "device_and_gateway", "run"]

_IDENTITY = "02:00:00:00:00:01"
# The whole demo takes half a minute; this is for a machine that is very busy.
_DEADLINE_S = 300.0
_QUIET = Scenery()


@dataclass(frozen=True, slots=True)
class Run:
    """A demo that is over.

    Attributes:
        outcome: what came of it.
        report: the page.
    """

    outcome: Outcome
    report: Path

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**self.outcome.as_json(), "report": str(self.report)}


@contextlib.asynccontextmanager
async def device_and_gateway(
    script: Script,
    folder: Path,
    live: Live,
    settings: RigSettings,
    scenery: Scenery = _QUIET,
) -> AsyncGenerator[Scene]:
    """A gateway whose agent is ready, and a board in a room that knows where it is.

    Raises:
        StartError: the gateway does not start.
        RigError: the board does not boot.
        ModelMissingError: a model is not in the model store.
    """
    live.tell("demo", "starting the gateway; its agent loads its models")
    with tempfile.TemporaryDirectory(prefix="harken-demo-") as scratch:
        model = wake_model(script.wake, Path(scratch))
        gateway = GatewayProcess(
            folder, registry=model.with_name("devices.sqlite"), settings=settings
        )
        async with gateway, _board(script, gateway, model, live, scenery) as scene:
            yield scene


@contextlib.asynccontextmanager
async def _board(
    script: Script, gateway: GatewayProcess, model: Path, live: Live, scenery: Scenery
) -> AsyncGenerator[Scene]:
    await gateway.agent_ready()
    live.tell("gateway", f"listens at {gateway.addresses.http}, its agent is ready")
    flash = await asyncio.to_thread(
        build_flash,
        {
            "ota_url": gateway.addresses.bootstrap,
            "listen": script.listen,
            "wake_models": [script.wake],
            "volume": script.volume,
            "barge_in": "voice" if script.interrupt == "voice" else "wake",
        },
        [model],
    )
    world = await asyncio.to_thread(scenery.world)
    async with SimBoard(flash, world, mac=_IDENTITY) as board:
        live.tell("device", f"boots the real firmware in {scenery.title}")
        yield Scene(script, world, board, gateway, _IDENTITY)


async def run(
    script: Script,
    folder: Path,
    live: Live,
    settings: RigSettings,
    scenery: Scenery = _QUIET,
) -> Run:
    """Play the demo.

    Args:
        script: what is said.
        folder: is there; gets `report.html`, `result.json` and the logs.
        live: told of what happens.
        settings: of the gateway.
        scenery: where it plays.

    Raises:
        HarkenError: it could not even begin, or did not end.
    """
    when = datetime.now().astimezone()
    try:
        async with (
            asyncio.timeout(_DEADLINE_S),
            device_and_gateway(script, folder, live, settings, scenery) as scene,
            asyncio.TaskGroup() as group,
        ):
            following = group.create_task(live.follow(scene))
            await scene.play()
            following.cancel()
    except TimeoutError:
        raise RigError(
            f"the demo did not end within {_DEADLINE_S:.0f} s", hint=f"see the logs in {folder}"
        ) from None
    outcome = judge(scene)
    report = folder / "report.html"
    report.write_text(render(tell(scene, scenery, outcome, when)), "utf-8")
    (folder / "device.log").write_text("\n".join(scene.board.logs) + "\n", "utf-8")
    result = Run(outcome, report)
    (folder / "result.json").write_text(json.dumps(result.as_json(), indent=2) + "\n", "utf-8")
    return result
