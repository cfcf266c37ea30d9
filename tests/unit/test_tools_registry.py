"""Tools of a session, without a network."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from harken.agents.agent import ToolSpec
from harken.errors import LinkClosedError, ToolError
from harken.session.tools import DeviceTools, Tool, ToolRegistry

if TYPE_CHECKING:
    from collections.abc import Mapping


def tool(name: str, answer: str = "") -> Tool:
    async def call(arguments: Mapping[str, Any]) -> str:
        if answer == "never":
            await asyncio.sleep(3600)
        return answer or str(dict(arguments))

    return Tool(ToolSpec(name, "", {}), call)


async def test_the_gateway_wins_over_the_device() -> None:
    registry = ToolRegistry([tool("volume", "gateway")])
    registry.add([tool("volume", "device"), tool("light")])
    assert [spec.name for spec in registry.specs] == ["volume", "light"]
    assert await registry.call("volume", {}) == "gateway"
    assert await registry.call("light", {"on": True}) == "{'on': True}"


async def test_an_unknown_tool_is_named_with_the_nearest() -> None:
    with pytest.raises(ToolError, match="did you mean 'set_volume'"):
        await ToolRegistry([tool("set_volume")]).call("set_volumes", {})


async def test_every_call_has_a_deadline() -> None:
    with pytest.raises(ToolError, match=r"did not answer within 0\.01 s"):
        await ToolRegistry([tool("slow", "never")], 0.01).call("slow", {})


async def test_a_device_with_endless_pages_is_left_alone() -> None:
    pages = 0

    def send(payload: Mapping[str, Any]) -> None:
        nonlocal pages
        result: dict[str, Any] = {}
        if payload["method"] == "tools/list":
            pages += 1
            result = {"tools": [{"name": f"t{pages}"}], "nextCursor": f"c{pages}"}
        reply = {"id": payload["id"], "result": result}
        asyncio.get_running_loop().call_soon(device.on_reply, reply)

    device = DeviceTools(send, 1.0)
    assert len(await device.open()) == pages == 16


async def test_a_device_that_is_gone_is_a_tool_error() -> None:
    def send(_: Mapping[str, Any]) -> None:
        raise LinkClosedError("closed")

    with pytest.raises(ToolError, match="gone"):
        await DeviceTools(send, 1.0).call("any", {})
