"""Tools of a device over its MCP channel."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from harken.agents.agent import ToolCall
from harken.config.settings import SessionSettings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.integration.gateway.conftest import Device, EchoAgent, Gateway

    OpenGateway = Callable[..., Awaitable[Gateway]]

pytestmark = pytest.mark.integration

VOLUME = {
    "name": "self.audio_speaker.set_volume",
    "description": "Set the volume, 0 to 100",
    "inputSchema": {"type": "object", "properties": {"volume": {"type": "integer"}}},
}
STATUS = {"name": "self.get_device_status", "inputSchema": {"type": "object"}}
REBOOT = {"name": "self.reboot", "inputSchema": {"type": "object"}}


class Board:
    """The MCP server of a device: two pages of tools, one of them for its owner only."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.asked: list[dict[str, Any]] = []
        self.calls: list[dict[str, Any]] = []
        self.answers_calls = True
        self.error: dict[str, Any] | None = None
        self.content: dict[str, Any] = {"content": [{"type": "text", "text": "true"}]}

    async def serve(self) -> None:
        while True:
            message = await self.device.expect("mcp", within=60)
            request = message["payload"]
            self.asked.append(request)
            await self.answer(request)

    async def answer(self, request: dict[str, Any]) -> None:
        reply: dict[str, Any] = {"jsonrpc": "2.0", "id": request["id"]}
        match request["method"]:
            case "initialize":
                reply["result"] = {"protocolVersion": "2024-11-05", "capabilities": {"tools": {}}}
            case "tools/list" if request["params"]["cursor"] == "":
                reply["result"] = {"tools": [VOLUME], "nextCursor": STATUS["name"]}
            case "tools/list":
                reply["result"] = {"tools": [STATUS, REBOOT]}
            case _:
                self.calls.append(request["params"])
                if not self.answers_calls:
                    return
                if self.error is not None:
                    reply["error"] = self.error
                else:
                    reply["result"] = self.content
        await self.device.send(type="mcp", payload=reply)


@pytest.fixture
async def board(open_gateway: OpenGateway) -> Any:
    gateway = await open_gateway(SessionSettings(tool_timeout_s=0.5))
    call = ToolCall("call-1", str(VOLUME["name"]), {"volume": 80})

    def calling() -> EchoAgent:
        agent = agent_class()
        agent.call = call
        return agent

    agent_class, gateway.make_agent = gateway.make_agent, calling
    device = await gateway.connect()
    device_board = Board(device)
    server = asyncio.get_running_loop().create_task(device_board.serve())
    await device.say_hello(features={"mcp": True})
    await device.send(type="listen", state="start", mode="manual")
    await device.speak(200)
    yield gateway, device, device_board
    server.cancel()
    await asyncio.gather(server, return_exceptions=True)


async def finish(device: Device) -> None:
    await device.send(type="listen", state="stop")
    await device.expect("tts", state="stop")


async def test_an_agent_calls_a_tool_of_the_device(board: Any) -> None:
    gateway, device, device_board = board
    await finish(device)
    agent = gateway.agents[0]
    assert [tool.name for tool in agent.config.tools] == [VOLUME["name"], STATUS["name"]]
    assert agent.config.tools[0].parameters == VOLUME["inputSchema"]
    assert device_board.calls == [{"name": VOLUME["name"], "arguments": {"volume": 80}}]
    assert agent.results == {"call-1": ("true", False)}
    assert all(request["id"] >= 10 for request in device_board.asked)
    initialize = device_board.asked[0]["params"]
    assert set(initialize["capabilities"]["vision"]) == {"url", "token"}
    await gateway.until(lambda: bool(gateway.records))
    assert gateway.records[0].tools == (VOLUME["name"],)


async def test_a_tool_that_never_answers_is_an_error(board: Any) -> None:
    gateway, device, device_board = board
    device_board.answers_calls = False
    await finish(device)
    content, failed = gateway.agents[0].results["call-1"]
    assert failed
    assert "did not answer within 0.5 s" in content
    await gateway.until(lambda: bool(gateway.records))
    assert gateway.records[0].errors


async def test_an_error_without_a_code_is_understood(board: Any) -> None:
    gateway, device, device_board = board
    device_board.error = {"message": "volume out of range"}
    await finish(device)
    assert gateway.agents[0].results["call-1"] == (
        "the device refused: volume out of range",
        True,
    )


async def test_a_tool_that_failed(board: Any) -> None:
    gateway, device, device_board = board
    device_board.content = {"content": [{"type": "text", "text": "no"}], "isError": True}
    await finish(device)
    assert gateway.agents[0].results["call-1"][1]


async def test_nonsense_for_an_answer(board: Any) -> None:
    gateway, device, device_board = board
    device_board.content = {"content": "not a list"}
    await finish(device)
    content, failed = gateway.agents[0].results["call-1"]
    assert failed
    assert "nonsense" in content


async def test_a_tool_of_a_cancelled_turn_says_nothing(board: Any) -> None:
    gateway, device, device_board = board
    device_board.answers_calls = False
    await device.send(type="listen", state="stop")
    await gateway.until(lambda: bool(device_board.calls))
    await device.send(type="abort")
    await device.expect("tts", state="stop", harken={"cancelled": True})
    await gateway.until(lambda: bool(gateway.records))
    assert gateway.agents[0].results == {}
    assert gateway.records[0].interrupted


async def test_a_device_that_offers_tools_and_is_silent_still_talks(
    open_gateway: OpenGateway,
) -> None:
    gateway = await open_gateway(SessionSettings(tool_timeout_s=0.2))
    device = await gateway.connect()
    await device.say_hello(features={"mcp": True})
    await device.send(type="listen", state="start", mode="manual")
    await device.speak(200)
    await finish(device)
    assert gateway.agents[0].config.tools == ()


async def test_a_device_without_mcp_is_asked_nothing(open_gateway: OpenGateway) -> None:
    gateway = await open_gateway()
    device = await gateway.connect()
    await device.say_hello()
    await device.send(type="listen", state="start", mode="manual")
    await device.speak(200)
    await finish(device)
    assert device.messages("mcp") == []
