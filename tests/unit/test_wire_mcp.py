"""JSON-RPC of devices' MCP servers."""

from __future__ import annotations

from typing import Any

import pytest

from harken.errors import MalformedError, ProtocolError, UnexpectedError
from harken.wire import mcp


def test_requests() -> None:
    assert mcp.list_tools(11, "next") == {
        "jsonrpc": "2.0",
        "id": 11,
        "method": "tools/list",
        "params": {"cursor": "next", "withUserTools": False},
    }
    assert mcp.call_tool(12, "t", {"a": 1})["params"] == {"name": "t", "arguments": {"a": 1}}
    assert mcp.initialize(10, "0")["params"]["protocolVersion"] == "2024-11-05"


def test_replies() -> None:
    assert mcp.parse_reply({"id": 10, "result": {"a": 1}}) == mcp.Answer(10, {"a": 1})
    assert mcp.parse_reply({"id": 10, "error": {"message": "no"}}) == mcp.Answer(10, None, "no")
    assert mcp.parse_reply({"id": 10, "error": "no"}) == mcp.Answer(10, None, "no")
    failed = mcp.parse_reply({"id": 10, "error": {}})
    assert failed is not None
    assert failed.error
    assert mcp.parse_reply({"method": "notifications/x"}) is None


@pytest.mark.parametrize(
    "payload",
    [{}, {"id": "ten", "result": {}}, {"id": 10}, {"id": 10, "result": []}, {"result": {}}],
)
def test_malformed_replies(payload: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        mcp.parse_reply(payload)


def test_devices_have_nothing_to_ask() -> None:
    with pytest.raises(UnexpectedError):
        mcp.parse_reply({"id": 1, "method": "sampling/createMessage"})


def test_pages() -> None:
    page = mcp.parse_page(
        {"tools": [{"name": "a", "inputSchema": {"type": "object"}}], "nextCursor": "b"}
    )
    assert page == mcp.ToolPage((mcp.Tool("a", "", {"type": "object"}),), "b")
    assert mcp.parse_page({}).cursor == ""
    bad: dict[str, Any]
    for bad in ({"tools": 5}, {"tools": [{"name": ""}]}, {"tools": [{}] * 500}):
        with pytest.raises(ProtocolError):
            mcp.parse_page(bad)


def test_results() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]
    assert mcp.parse_result({"content": parts}) == mcp.ToolResult("a\nb", is_error=False)
    assert mcp.parse_result({"content": [], "isError": True}).is_error
    with pytest.raises(MalformedError):
        mcp.parse_result({"content": "text"})
