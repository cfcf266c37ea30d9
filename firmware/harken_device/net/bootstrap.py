"""The boot request: tells the gateway what this device is, and is told where to connect."""

import gc
import json

from micropython import const

from harken_device import __version__
from harken_device.errors import BootstrapError, NetError
from harken_device.net import http
from harken_device.net.stream import Trust, deadline_in

TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from typing import Any

    from board_face import Board

_DEADLINE_MS = const(10_000)
_LONGEST_ANSWER = const(8192)
_LONGEST_TEXT = const(1024)


class Answer:
    """What the gateway told, every section optional, every value checked.

    Attributes:
        unix_ms: the time now, UTC; 0 where not told.
        websocket: address, token (or "") and binary protocol version; None where not told.
        firmware: version on offer; "" where none.
        activation: the code to type on the gateway's page; "" where none.

    Raises:
        BootstrapError: the body is not a JSON object.
    """

    def __init__(self, body: bytes) -> None:
        try:
            told = json.loads(body)
        except (ValueError, RuntimeError):
            raise BootstrapError("the boot answer is not JSON: is ota_url right?")
        if not isinstance(told, dict):
            raise BootstrapError("the boot answer is not an object: is ota_url right?")
        time = _section(told, "server_time").get("timestamp")
        self.unix_ms = int(time) if isinstance(time, (int, float)) and 0 < time < 1e14 else 0
        self.firmware = _text(_section(told, "firmware").get("version"))
        self.activation = _text(_section(told, "activation").get("code"))
        self.websocket = _websocket(_section(told, "websocket"))


def _section(told: "dict[str, Any]", name: str) -> "dict[str, Any]":
    found = told.get(name)
    return found if isinstance(found, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) and len(value) <= _LONGEST_TEXT else ""


def _websocket(section: "dict[str, Any]") -> "tuple[str, str, int] | None":
    url = _text(section.get("url"))
    if not url.startswith("ws://") and not url.startswith("wss://"):
        return None
    version = section.get("version", 1)
    if type(version) is not int or version not in (1, 2, 3):
        version = 1
    return url, _text(section.get("token")), version


def _body(hal: "Board") -> bytes:
    mac = hal.identity.mac()
    return json.dumps(
        {
            "version": 2,
            "mac_address": mac,
            "uuid": hal.identity.client_id(),
            "minimum_free_heap_size": str(gc.mem_free()),
            "application": {"name": "harken", "version": __version__},
            "ota": {"label": hal.slots.active()},
            "board": {"type": hal.name, "name": hal.name, "mac": mac},
        }
    ).encode()


async def ask(hal: "Board", url: str, language: str, trust: Trust) -> Answer:
    """POST to `url` what this device is.

    Raises:
        BootstrapError: refused, or the answer is unusable.
        NetError: no connection or no answer within ten seconds.
    """
    headers = [
        ("Device-Id", hal.identity.mac()),
        ("Client-Id", hal.identity.client_id()),
        ("Activation-Version", "1"),
        ("User-Agent", hal.name + "/" + __version__),
        ("Accept-Language", language),
        ("Content-Type", "application/json"),
    ]
    try:
        status, body = await http.post(
            url, headers, _body(hal), _LONGEST_ANSWER, trust, deadline_in(_DEADLINE_MS)
        )
    except NetError as error:
        raise BootstrapError("boot request: %s" % error)
    if status != 200:
        raise BootstrapError("the boot request was answered %d" % status)
    return Answer(body)
