"""The demo's gateway is a program of its own: it comes, it goes, and its failures have a reason."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import aiohttp
import msgspec
import pytest

from harken.errors import RigError, StartError
from harken.session.timeline import TurnRecord
from harken_hil.demo.gateway import GatewayProcess
from harken_hil.demo.settings import RigSettings

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


def processes(marker: str) -> list[int]:
    """Processes with a text in their command line."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if marker.encode() in command:
                found.append(int(entry.name))
    return found


async def test_it_listens_and_leaves(tmp_path: Path) -> None:
    async with GatewayProcess(tmp_path, registry=tmp_path / "devices.sqlite") as gateway:
        host, port = gateway.addresses.http.removeprefix("http://").split(":")
        socket.create_connection((host, int(port)), timeout=5).close()
        assert gateway.addresses.websocket.startswith("ws://127.0.0.1:")
        assert processes(str(tmp_path))
    assert not processes(str(tmp_path))


async def test_it_leaves_when_something_else_fails(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="something else"):
        async with GatewayProcess(tmp_path, registry=tmp_path / "devices.sqlite"):
            raise RuntimeError("something else")
    assert not processes(str(tmp_path))


async def test_a_gateway_that_does_not_start_says_why(tmp_path: Path) -> None:
    settings = RigSettings(tmp_path / "none.toml", os.environ)
    with pytest.raises(StartError, match=r"none\.toml"):
        async with GatewayProcess(
            tmp_path, registry=tmp_path / "devices.sqlite", settings=settings
        ):
            pass


async def test_it_takes_nothing_from_a_configuration_of_its_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(
        '[server]\nhttp_port = 1\nhost = "0.0.0.0"\ntokens = ["0123456789abcdef"]\n'
        '[log]\nturns = "/nonexistent/turns"\n[agent.stt]\nengine = "openai"\n'
    )
    monkeypatch.setenv("HARKEN_CONFIG", str(mine))
    monkeypatch.setenv("HARKEN_SERVER__TLS_CERTIFICATE", "/nonexistent/cert.pem")
    for settings in (None, RigSettings.of(mine)):
        async with (
            GatewayProcess(
                tmp_path, registry=tmp_path / "devices.sqlite", settings=settings
            ) as gateway,
            aiohttp.ClientSession() as http,
            http.get(f"{gateway.addresses.http}/api/devices") as reply,
        ):
            assert reply.status == 200, "no token is wanted"


async def test_a_gateway_that_ends_is_noticed(tmp_path: Path) -> None:
    async with GatewayProcess(tmp_path, registry=tmp_path / "devices.sqlite") as gateway:
        with (tmp_path / "gateway.log").open("a") as log:
            log.write("the roof fell in\n")
        assert gateway._process is not None
        gateway._process.kill()
        with pytest.raises(StartError, match="has ended: the roof fell in"):
            await asyncio.wait_for(gateway.ended(), 5)


async def test_a_missing_model_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARKEN_MODELS", str(tmp_path / "nothing"))
    async with GatewayProcess(tmp_path, registry=tmp_path / "devices.sqlite") as gateway:
        with pytest.raises(StartError, match="harken models pull"):
            await gateway.agent_ready()


async def test_turns_are_read_as_they_come(tmp_path: Path) -> None:
    async with GatewayProcess(tmp_path, registry=tmp_path / "devices.sqlite") as gateway:
        with pytest.raises(RigError, match="finished no turn"):
            await gateway.turn(within_s=0.1)
        turns = [TurnRecord(number=n, device="d", session="s", transcript="ä") for n in (1, 2)]
        first, second = (msgspec.json.encode(turn) + b"\n" for turn in turns)
        with (tmp_path / "turns.jsonl").open("ab") as file:
            # The first whole, the second cut off where a writer may be interrupted.
            file.write(first + second[:10])
            file.flush()
            assert await gateway.turn(within_s=5) == turns[0]
            assert gateway.finished_turns() == []
            waiting = asyncio.create_task(gateway.turn(within_s=5))
            await asyncio.sleep(0)
            file.write(second[10:])
        assert await waiting == turns[1]
