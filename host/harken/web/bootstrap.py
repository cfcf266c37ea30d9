"""What a device is told when it boots: the time, and where to connect."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from harken.errors import MalformedError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BootReport", "boot_answer", "device_identity", "read_report"]

_IDENTITY: Final = re.compile(r"[a-z0-9][a-z0-9:._-]{0,63}")


@dataclass(frozen=True, slots=True)
class BootReport:
    """What a device said of itself when it booted; "" where it did not say.

    Attributes:
        identity: its MAC address or other name, in lower case.
        board: kind of hardware.
        firmware: version it runs.
    """

    identity: str
    board: str
    firmware: str


def device_identity(text: str) -> str:
    """What a device calls itself, in lower case; "" where that is no name."""
    name = text.strip().lower()
    return name if _IDENTITY.fullmatch(name) else ""


def read_report(headers: Mapping[str, str], body: bytes) -> BootReport:
    """Make sense of a bootstrap request; every header and every field may be missing.

    Args:
        headers: names in any case, if the mapping takes them so.
        body: JSON, or nothing at all.

    Raises:
        MalformedError: the body is neither empty nor a JSON object.
    """
    report = _object(body)
    application, board = _part(report, "application"), _part(report, "board")
    agent_board, _, agent_version = headers.get("User-Agent", "").partition("/")
    named = headers.get("Device-Id") or _text(report, "mac_address")
    return BootReport(
        identity=device_identity(named),
        board=_text(board, "type") or _text(board, "name") or (agent_version and agent_board),
        firmware=_text(application, "version") or agent_version.partition(" ")[0],
    )


def _object(body: bytes) -> dict[str, Any]:
    if not body.strip():
        return {}
    try:
        report: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedError(f"the body is not JSON: {error}") from error
    if not isinstance(report, dict):
        raise MalformedError("the body is not a JSON object")
    return cast("dict[str, Any]", report)


def _part(report: Mapping[str, Any], name: str) -> dict[str, Any]:
    part = report.get(name)
    return cast("dict[str, Any]", part) if isinstance(part, dict) else {}


def _text(part: Mapping[str, Any], name: str) -> str:
    value = part.get(name)
    return value if isinstance(value, str) else ""


def boot_answer(
    *, websocket_url: str, token: str, version: int, now: float | None = None
) -> dict[str, Any]:
    """The answer: the clock with its zone, and the WebSocket.

    Args:
        websocket_url: where the device connects.
        token: what it must show there; "" where nothing is asked.
        version: binary framing that it must use.
        now: seconds since 1970; the present unless given.
    """
    at = datetime.fromtimestamp(time.time() if now is None else now, UTC).astimezone()
    offset = at.utcoffset()
    return {
        "server_time": {
            "timestamp": int(at.timestamp() * 1000),
            "timeZone": at.tzname() or "UTC",
            "timezone_offset": int(offset.total_seconds() // 60) if offset else 0,
        },
        "websocket": {"url": websocket_url, "token": token, "version": version},
    }
