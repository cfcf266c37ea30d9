"""What the agent may do on this device: a small MCP server over the link's `mcp` messages."""

import json

from micropython import const

from harken_device import __version__
from harken_device.errors import ToolError, printable

TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Message = dict[str, Any]
    Call = Callable[[Message], object]

_PROTOCOL = "2024-11-05"
_PAGE_BYTES = const(8000)


class Tool:
    """One thing the agent may do.

    Args:
        name: as MCP names it, e.g. `self.led.set_color`.
        description: tells the agent when to use it.
        arguments: JSON schema of each argument, all required; whole numbers with a minimum and a
            maximum.
        call: takes the checked arguments, returns what is told to the agent as JSON.
    """

    def __init__(
        self, name: str, description: str, arguments: "dict[str, Message]", call: "Call"
    ) -> None:
        self.name = name
        self.description = description
        self.arguments = arguments
        self._call = call

    def schema(self) -> str:
        """As `tools/list` shows it, JSON."""
        wanted: Message = {"type": "object", "properties": self.arguments}
        if self.arguments:
            wanted["required"] = sorted(self.arguments)
        return json.dumps(
            {"name": self.name, "description": self.description, "inputSchema": wanted}
        )

    def call(self, given: "Message") -> object:
        """Check `given` and do it.

        Raises:
            ToolError: an argument is missing, no whole number, or out of range.
        """
        checked = {}
        for name, schema in self.arguments.items():
            value = given.get(name)
            if type(value) is float and -1e9 < value < 1e9 and value == int(value):
                value = int(value)  # some agents write every number with a point
            if type(value) is not int:
                raise ToolError("argument %s must be a whole number" % name)
            if not schema["minimum"] <= value <= schema["maximum"]:
                raise ToolError(
                    "argument %s must be %d to %d" % (name, schema["minimum"], schema["maximum"])
                )
            checked[name] = value
        return self._call(checked)


def whole_number(low: int, high: int, description: str) -> "Message":
    """The JSON schema of a whole number."""
    return {"type": "integer", "minimum": low, "maximum": high, "description": description}


def _object(holder: "Message", name: str) -> "Message":
    value = holder.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ToolError(name + " must be an object")
    return value


class Server:
    """Answers JSON-RPC.

    Args:
        tools: in the order in which they are listed.
    """

    def __init__(self, tools: "list[Tool]") -> None:
        self._tools = tools

    def answer(self, request: "Message") -> "str | None":
        """The reply to one message, JSON; None where it wants none or none can be addressed."""
        number = request.get("id")
        method = request.get("method")
        if not isinstance(method, str) or method.startswith("notifications"):
            return None
        if type(number) is not int and not (type(number) is float and -1e15 < number < 1e15):
            return None  # the protocol knows numeric ids only: there is nobody to answer
        try:
            result = self._do(method, _object(request, "params"))
        except ToolError as error:
            fault = {"message": str(error)}
            return '{"jsonrpc":"2.0","id":%s,"error":%s}' % (json.dumps(number), json.dumps(fault))
        return '{"jsonrpc":"2.0","id":%s,"result":%s}' % (json.dumps(number), result)

    def _do(self, method: str, given: "Message") -> str:
        if method == "initialize":
            return json.dumps(
                {
                    "protocolVersion": _PROTOCOL,
                    "capabilities": {"tools": {}},
                    "serverInfo": {"name": "harken", "version": __version__},
                }
            )
        if method == "ping":
            return "{}"
        if method == "tools/list":
            return self._page(given.get("cursor") or "")
        if method == "tools/call":
            return self._call(given)
        raise ToolError("unknown method: " + printable(method, 60))

    def _find(self, name: object) -> int:
        for i in range(len(self._tools)):
            if self._tools[i].name == name:
                return i
        raise ToolError("unknown tool: " + printable(str(name), 60))

    def _page(self, cursor: object) -> str:
        """Tools from `cursor` on, as many as fit; `nextCursor` names the next."""
        at = self._find(cursor) if cursor else 0
        listed: list[str] = []
        room = _PAGE_BYTES - 100  # for what stands around the list
        while at < len(self._tools):
            schema = self._tools[at].schema()
            room -= len(schema.encode()) + 1
            if room < 0 and listed:
                more = ',"nextCursor":' + json.dumps(self._tools[at].name)
                return '{"tools":[' + ",".join(listed) + "]" + more + "}"
            listed.append(schema)
            at += 1
        return '{"tools":[' + ",".join(listed) + "]}"

    def _call(self, given: "Message") -> str:
        tool = self._tools[self._find(given.get("name"))]
        told = tool.call(_object(given, "arguments"))
        text = told if isinstance(told, str) else json.dumps(told)
        return json.dumps({"content": [{"type": "text", "text": text}], "isError": False})


def device_tools(
    status: "Callable[[], Message]",
    set_volume: "Callable[[int], None]",
    set_colour: "Callable[[int, int, int], None]",
) -> "list[Tool]":
    """The tools every board has."""

    def volume(given: "Message") -> object:
        set_volume(given["volume"])
        return True

    def colour(given: "Message") -> object:
        set_colour(given["r"], given["g"], given["b"])
        return True

    part = whole_number(0, 255, "0 is off")
    return [
        Tool(
            "self.get_device_status",
            "The state of the device now: volume, LED, network. Ask it before a relative change.",
            {},
            lambda _: status(),
        ),
        Tool(
            "self.audio_speaker.set_volume",
            "Set how loud the device speaks.",
            {"volume": whole_number(0, 100, "per cent")},
            volume,
        ),
        Tool(
            "self.led.set_color",
            "Set the colour of the device's light.",
            {"r": part, "g": part, "b": part},
            colour,
        ),
    ]
