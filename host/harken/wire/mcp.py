"""JSON-RPC as the MCP servers of devices speak it, inside `mcp` messages.

Devices are servers of protocol version 2024-11-05. Ids must be numbers, and 10 or more, because
some devices use the small ones for themselves; errors may lack a code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from harken.errors import MalformedError, UnexpectedError, printable

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "FIRST_ID",
    "PROTOCOL",
    "Answer",
    "Reply",
    "Tool",
    "ToolPage",
    "ToolResult",
    "call_tool",
    "initialize",
    "list_tools",
    "parse_page",
    "parse_reply",
    "parse_result",
]

PROTOCOL = "2024-11-05"
FIRST_ID = 10

_MAX_TOOLS_A_PAGE = 128
_Object = dict[str, Any]
_T = TypeVar("_T")


class Tool(Struct, frozen=True):
    """A tool as the device describes it; `parameters` is the JSON schema of its arguments."""

    name: Annotated[str, Meta(min_length=1, max_length=128)]
    description: Annotated[str, Meta(max_length=4_000)] = ""
    parameters: _Object = msgspec.field(default_factory=dict[str, Any], name="inputSchema")


class ToolPage(Struct, frozen=True):
    """One page of `tools/list`; `cursor` asks for the next, empty on the last."""

    tools: Annotated[tuple[Tool, ...], Meta(max_length=_MAX_TOOLS_A_PAGE)] = ()
    cursor: Annotated[str, Meta(max_length=256)] = msgspec.field(default="", name="nextCursor")


class ToolResult(Struct, frozen=True):
    """What a tool returned, its text parts joined by line ends."""

    text: str
    is_error: bool


class Answer(Struct, frozen=True):
    """A device's reply to the request `id`: a result, or what went wrong."""

    id: int
    result: _Object | None
    error: str = ""


class _Error(Struct, frozen=True):
    message: str = ""


class Reply(Struct, frozen=True):
    """Any JSON-RPC message from a device, before it is told apart."""

    id: int | None = None
    method: str | None = None
    result: _Object | None = None
    error: _Error | str | None = None


class _Part(Struct, frozen=True):
    type: str = "text"
    text: str = ""


class _Content(Struct, frozen=True):
    content: Annotated[tuple[_Part, ...], Meta(max_length=256)] = ()
    is_error: bool = msgspec.field(default=False, name="isError")


def initialize(request_id: int, version: str) -> _Object:
    """The request that opens an MCP session.

    Args:
        request_id: 10 or more.
        version: of the gateway.
    """
    params: _Object = {
        "protocolVersion": PROTOCOL,
        # Some firmware reads both keys without looking whether they are there.
        "capabilities": {"vision": {"url": "", "token": ""}},
        "clientInfo": {"name": "harken", "version": version},
    }
    return _request(request_id, "initialize", params)


def list_tools(request_id: int, cursor: str = "") -> _Object:
    """The request for a page of tools, without those that are for users only."""
    return _request(request_id, "tools/list", {"cursor": cursor, "withUserTools": False})


def call_tool(request_id: int, name: str, arguments: Mapping[str, Any]) -> _Object:
    """The request that calls a tool."""
    return _request(request_id, "tools/call", {"name": name, "arguments": dict(arguments)})


def parse_reply(payload: Mapping[str, Any]) -> Answer | None:
    """A device's JSON-RPC message as the answer to a request; `None` for a notification.

    Raises:
        MalformedError: neither.
        UnexpectedError: a request: devices are servers, they have none to make.
    """
    reply = _convert(payload, Reply)
    if reply.method is not None:
        if reply.method.startswith("notifications"):
            return None
        raise UnexpectedError(f"the device asks for {printable(reply.method, 40)!r}")
    if reply.id is None:
        raise MalformedError("a JSON-RPC message without an id")
    if reply.error is not None:
        error = reply.error if isinstance(reply.error, str) else reply.error.message
        return Answer(reply.id, None, printable(error) or "failed without saying why")
    if reply.result is None:
        raise MalformedError("a JSON-RPC reply with neither result nor error")
    return Answer(reply.id, reply.result)


def parse_page(result: Mapping[str, Any]) -> ToolPage:
    """The result of `tools/list`.

    Raises:
        MalformedError: it is not one.
    """
    return _convert(result, ToolPage)


def parse_result(result: Mapping[str, Any]) -> ToolResult:
    """The result of `tools/call`.

    Raises:
        MalformedError: it is not one.
    """
    content = _convert(result, _Content)
    text = "\n".join(part.text for part in content.content if part.type == "text")
    return ToolResult(text[:16_000], content.is_error)


def _request(request_id: int, method: str, params: _Object) -> _Object:
    return {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}


def _convert(payload: Mapping[str, Any], kind: type[_T]) -> _T:
    try:
        return msgspec.convert(payload, kind)
    except msgspec.ValidationError as error:
        raise MalformedError(f"a wrong MCP message: {printable(str(error))}") from None
