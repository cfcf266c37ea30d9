"""What an agent may call: tools of the device, over MCP, and of the gateway."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeVar

from harken import __version__
from harken.agents.agent import ToolSpec
from harken.errors import LinkClosedError, ProtocolError, ToolError, UnexpectedError, printable
from harken.wire import mcp

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

__all__ = ["USER_ONLY", "DeviceTools", "Tool", "ToolRegistry"]

USER_ONLY = frozenset(
    {
        "self.assets.set_download_url",
        "self.get_system_info",
        "self.reboot",
        "self.screen.get_info",
        "self.screen.preview_image",
        "self.screen.snapshot",
        "self.upgrade_firmware",
    }
)
"""Tools that boards keep for their owner; some list them all the same."""

_MAX_PAGES = 16
_MAX_TOOLS = 128

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool and how to call it.

    Attributes:
        spec: what the agent is told of it.
        call: takes the arguments, returns the content; raises `ToolError`.
    """

    spec: ToolSpec
    call: Callable[[Mapping[str, Any]], Awaitable[str]]


class ToolRegistry:
    """The tools of one session, by name.

    Args:
        tools: of the gateway; a device's tool of the same name does not replace one.
        deadline_s: for each call of any tool.
    """

    def __init__(self, tools: Iterable[Tool] = (), deadline_s: float = 5.0) -> None:
        self._tools = {tool.spec.name: tool for tool in tools}
        self._deadline_s = deadline_s

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """What the agent is told of them."""
        return tuple(tool.spec for tool in self._tools.values())

    def add(self, tools: Iterable[Tool]) -> None:
        """Offer these too."""
        for tool in tools:
            self._tools.setdefault(tool.spec.name, tool)

    async def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        """Call a tool; returns its content.

        Raises:
            ToolError: there is none of that name, it refused or failed, or it did not answer.
        """
        tool = self._tools.get(name)
        if tool is None:
            near = get_close_matches(name, self._tools, 1)
            raise ToolError(
                f"there is no tool {printable(name, 60)!r}",
                hint=f"did you mean {near[0]!r}?" if near else "",
            )
        try:
            async with asyncio.timeout(self._deadline_s):
                return await tool.call(arguments)
        except TimeoutError:
            raise ToolError(
                f"{printable(name, 60)!r} did not answer within {self._deadline_s:g} s",
                hint="the device may be busy; ask again",
            ) from None


class DeviceTools:
    """The MCP server of a device, as a client sees it.

    Args:
        send: sends one JSON-RPC message to the device.
        deadline_s: for each request.
    """

    def __init__(self, send: Callable[[Mapping[str, Any]], None], deadline_s: float = 5.0) -> None:
        self._send = send
        self._deadline_s = deadline_s
        self._ids = itertools.count(mcp.FIRST_ID)
        self._asked: dict[int, asyncio.Future[Mapping[str, Any]]] = {}

    async def open(self) -> list[Tool]:
        """Ask the device what it can do, page by page; tools for users only are left out.

        Raises:
            ToolError: it refused, answered nonsense, or did not answer.
        """
        await self._ask("initialize", lambda number: mcp.initialize(number, __version__))
        tools: list[Tool] = []
        cursor = ""
        for _ in range(_MAX_PAGES):
            page = _parsed(mcp.parse_page, await self._page(cursor))
            tools += [self._tool(tool) for tool in page.tools if tool.name not in USER_ONLY]
            if not page.cursor or page.cursor == cursor or len(tools) >= _MAX_TOOLS:
                break
            cursor = page.cursor
        return tools[:_MAX_TOOLS]

    async def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        """Call a tool of the device; returns its text.

        Raises:
            ToolError: it refused, failed, answered nonsense, or did not answer.
        """
        reply = await self._ask(name, lambda number: mcp.call_tool(number, name, arguments))
        result = _parsed(mcp.parse_result, reply)
        if result.is_error:
            raise ToolError(f"{printable(name, 60)!r} failed: {printable(result.text)}")
        return result.text

    def on_reply(self, payload: Mapping[str, Any]) -> None:
        """A JSON-RPC message came from the device.

        Raises:
            ProtocolError: it is none, or answers nothing that was asked.
        """
        answer = mcp.parse_reply(payload)
        if answer is None:
            return
        waiting = self._asked.pop(answer.id, None)
        if waiting is None or waiting.done():
            raise UnexpectedError(f"an answer to request {answer.id}, which nobody waits for")
        if answer.result is None:
            waiting.set_exception(ToolError(f"the device refused: {answer.error}"))
        else:
            waiting.set_result(answer.result)

    def _tool(self, tool: mcp.Tool) -> Tool:
        async def call(arguments: Mapping[str, Any]) -> str:
            return await self.call(tool.name, arguments)

        return Tool(ToolSpec(tool.name, tool.description, tool.parameters), call)

    async def _page(self, cursor: str) -> Mapping[str, Any]:
        return await self._ask("tools/list", lambda number: mcp.list_tools(number, cursor))

    async def _ask(
        self, what: str, request: Callable[[int], Mapping[str, Any]]
    ) -> Mapping[str, Any]:
        number = next(self._ids)
        waiting: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
        self._asked[number] = waiting
        try:
            self._send(request(number))
            async with asyncio.timeout(self._deadline_s):
                return await waiting
        except TimeoutError:
            raise ToolError(
                f"the device did not answer {printable(what, 60)!r} within {self._deadline_s:g} s",
                hint="look at the device: it offers tools and does not answer for them",
            ) from None
        except LinkClosedError as error:
            raise ToolError(f"the device is gone: {error}") from None
        finally:
            self._asked.pop(number, None)


def _parsed(parse: Callable[[Mapping[str, Any]], _T], reply: Mapping[str, Any]) -> _T:
    try:
        return parse(reply)
    except ProtocolError as error:
        raise ToolError(f"the device answered nonsense: {error}") from None
