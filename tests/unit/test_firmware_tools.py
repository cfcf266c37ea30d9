"""The device's MCP server, asked of the real MicroPython."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("micropython_unix", reason="pip install 'harken[rig]'")

from harken_hil.micropython import Conversation, firmware_paths

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPT = Path(__file__).parents[1] / "data" / "micropython" / "parsers.py"


@pytest.fixture(scope="module")
def device() -> Iterator[Conversation]:
    with Conversation(SCRIPT, paths=firmware_paths(), heap_kib=1024) as conversation:
        yield conversation


def request(device: Conversation, **fields: Any) -> dict[str, Any] | None:
    told = json.loads(device.ask("mcp " + json.dumps(fields).encode().hex()))
    assert "ok" in told, told
    return None if told["ok"] is None else json.loads(told["ok"])


def call(device: Conversation, name: object, arguments: object) -> dict[str, Any]:
    params = {"name": name, "arguments": arguments}
    reply = request(device, jsonrpc="2.0", id=10, method="tools/call", params=params)
    assert reply is not None
    assert reply["id"] == 10
    return reply


def test_initialize_says_which_protocol_and_who(device: Conversation) -> None:
    vision = {"capabilities": {"vision": {"url": "http://h", "token": "t"}}}
    reply = request(device, jsonrpc="2.0", id=10, method="initialize", params=vision)
    assert reply is not None
    assert reply["jsonrpc"] == "2.0"
    assert reply["result"]["protocolVersion"] == "2024-11-05"
    assert reply["result"]["capabilities"] == {"tools": {}}
    assert reply["result"]["serverInfo"]["name"] == "harken"


def test_lists_the_tools_with_their_schemas(device: Conversation) -> None:
    params = {"cursor": "", "withUserTools": False}
    reply = request(device, id=11, method="tools/list", params=params)
    assert reply is not None
    tools = {tool["name"]: tool for tool in reply["result"]["tools"]}
    assert list(tools) == [
        "self.get_device_status",
        "self.audio_speaker.set_volume",
        "self.led.set_color",
    ]
    schema = tools["self.audio_speaker.set_volume"]["inputSchema"]
    assert schema["required"] == ["volume"]
    volume = schema["properties"]["volume"]
    assert (volume["type"], volume["minimum"], volume["maximum"]) == ("integer", 0, 100)
    assert "nextCursor" not in reply["result"]


def test_pages_are_cut_at_8000_bytes_and_nothing_is_lost(device: Conversation) -> None:
    cursor, seen, pages = "", list[str](), 0
    while True:
        text = json.loads(device.ask(f'crowd 100 "{cursor}"'))["ok"]
        assert len(text.encode()) <= 8000
        result = json.loads(text)["result"]
        seen += [tool["name"] for tool in result["tools"]]
        pages += 1
        cursor = result.get("nextCursor", "")
        if not cursor:
            break
    assert seen == [f"tool{i:03d}" for i in range(100)]
    assert pages > 1


@pytest.mark.parametrize("volume", [0, 55, 100, 55.0])
def test_sets_the_volume(device: Conversation, volume: float) -> None:
    reply = call(device, "self.audio_speaker.set_volume", {"volume": volume})
    assert reply["result"] == {"content": [{"type": "text", "text": "true"}], "isError": False}


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("self.audio_speaker.set_volume", {"volume": 101}, "0 to 100"),
        ("self.audio_speaker.set_volume", {"volume": -1}, "0 to 100"),
        ("self.audio_speaker.set_volume", {"volume": "loud"}, "whole number"),
        ("self.audio_speaker.set_volume", {"volume": 5.5}, "whole number"),
        ("self.audio_speaker.set_volume", {"volume": True}, "whole number"),
        ("self.audio_speaker.set_volume", {"volume": 1e300}, "whole number"),
        ("self.audio_speaker.set_volume", {}, "whole number"),
        ("self.audio_speaker.set_volume", [55], "object"),
        ("self.led.set_color", {"r": 1, "g": 2}, "argument b"),
        ("self.self_destruct", {}, "unknown tool"),
        (7, {}, "unknown tool"),
        (None, {}, "unknown tool"),
    ],
)
def test_refuses_a_call(device: Conversation, name: object, arguments: object, words: str) -> None:
    reply = call(device, name, arguments)
    assert set(reply) == {"jsonrpc", "id", "error"}
    assert set(reply["error"]) == {"message"}  # the protocol's errors have no code
    assert words in reply["error"]["message"]


@pytest.mark.parametrize("params", [[], "x", 7])
def test_params_must_be_an_object(device: Conversation, params: object) -> None:
    reply = request(device, id=10, method="tools/list", params=params)
    assert reply is not None
    assert reply["error"] == {"message": "params must be an object"}


def test_an_unknown_method_is_an_error(device: Conversation) -> None:
    reply = request(device, id=10, method="resources/list")
    assert reply is not None
    assert "unknown method" in reply["error"]["message"]


@pytest.mark.parametrize(
    "message",
    [
        {"method": "notifications/initialized"},
        {"id": 10, "method": "notifications/cancelled"},
        {"id": "ten", "method": "tools/list"},
        {"id": None, "method": "tools/list"},
        {"id": True, "method": "tools/list"},
        {"method": "tools/list"},
        {"id": 10},
        {"id": 10, "method": 7},
        {"id": 10, "result": {}},
        {},
    ],
    ids=json.dumps,
)
def test_stays_silent(device: Conversation, message: dict[str, Any]) -> None:
    assert request(device, **message) is None
