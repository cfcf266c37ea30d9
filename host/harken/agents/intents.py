"""Understands commands to the device without a language model.

A small model fails to ask for a tool, and even a large one takes its time; "turn the volume up" is
therefore matched against sentences (`sentences.yaml`, in the format of hassil) before any model is
asked. An intent becomes calls of the device's own tools, found by name, and a short confirmation.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from harken.errors import AgentError, ToolError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    from hassil import Intents

__all__ = ["CallTool", "Intent", "act", "match"]

SET_VOLUME: Final = "self.audio_speaker.set_volume"
STATUS: Final = "self.get_device_status"
SET_COLOR: Final = "self.led.set_color"

_STEP: Final = 10
_MOST_TEXT: Final = 200


@dataclass(frozen=True, slots=True)
class Intent:
    """What the user wants of the device: its name in `sentences.yaml`, and what it was said of."""

    name: str
    slots: Mapping[str, Any] = field(default_factory=dict[str, Any])


class CallTool(Protocol):
    """Calls a tool; returns its content.

    Raises:
        ToolError: it refused, failed or never answered.
    """

    def __call__(self, name: str, arguments: Mapping[str, Any]) -> Awaitable[str]:
        """Call tool `name`."""
        ...


def match(text: str, language: str = "en") -> Intent | None:
    """The intent of an utterance, however it is written; `None` where it is for the model.

    Args:
        text: what was said, as speech recognition wrote it.
        language: BCP 47 tag; there are sentences for English.
    """
    if len(text) > _MOST_TEXT or language.partition("-")[0].lower() != "en":
        return None
    from hassil import recognize_best

    found = recognize_best(_normalised(text), _sentences(), best_slot_name="level")
    if found is None:
        return None
    return Intent(found.intent.name, {name: slot.value for name, slot in found.entities.items()})


def _normalised(text: str) -> str:
    """Lower case, no punctuation, percent as a word, no leading wake word or courtesies."""
    text = text.lower().replace("%", " percent ").replace("'", "'").replace("’", "'")  # noqa: RUF001
    text = re.sub(r"[^\w\s'-]", " ", text)
    return " ".join(text.replace("-", " ").split())


@lru_cache(maxsize=1)
def _sentences() -> Intents:
    try:
        from hassil import Intents
    except ImportError as error:
        raise AgentError(
            "commands need hassil, which is not installed", hint='pip install "harken[local]"'
        ) from error
    source = resources.files("harken.agents").joinpath("sentences.yaml")
    with source.open(encoding="utf-8") as file:
        return Intents.from_yaml(file)


async def act(intent: Intent, tools: Collection[str], call: CallTool) -> str:
    """Do what the user wants; returns what to say.

    Args:
        intent: from `match`.
        tools: names of the tools that the device has.
        call: calls one.
    """
    wanted, what, action = _ACTIONS[intent.name]
    missing = [tool for tool in wanted if tool not in tools]
    if missing:
        return f"Sorry, I cannot {what} on this device."
    try:
        return await action(intent.slots, call)
    except ToolError:
        return f"Sorry, I could not {what}."


async def _status(call: CallTool) -> dict[str, Any]:
    """What the device says of itself."""
    try:
        return msgspec.json.decode(await call(STATUS, {}), type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise ToolError("the device's status is not a JSON object") from error


def _number(status: Mapping[str, Any], part: str, name: str) -> int:
    """A number in the status."""
    try:
        return round(float(msgspec.convert(status.get(part), dict[str, Any])[name]))
    except (msgspec.ValidationError, LookupError, TypeError, ValueError, OverflowError) as error:
        raise ToolError(f"the device's status has no {part}.{name}") from error


async def _set_volume(volume: int, call: CallTool) -> str:
    volume = min(max(volume, 0), 100)
    await call(SET_VOLUME, {"volume": volume})
    return f"Volume is now {volume} percent." if volume else "I am muted now."


async def _volume_to(slots: Mapping[str, Any], call: CallTool) -> str:
    return await _set_volume(int(slots["level"]), call)


async def _volume_change(slots: Mapping[str, Any], call: CallTool) -> str:
    now = _number(await _status(call), "audio_speaker", "volume")
    step = int(slots.get("level", _STEP))
    return await _set_volume(now + step if slots["direction"] == "up" else now - step, call)


async def _volume_ask(_slots: Mapping[str, Any], call: CallTool) -> str:
    volume = _number(await _status(call), "audio_speaker", "volume")
    return f"Volume is {volume} percent."


async def _battery_ask(_slots: Mapping[str, Any], call: CallTool) -> str:
    status = await _status(call)
    if "battery" not in status:
        return "This device has no battery."
    level = _number(status, "battery", "level")
    charging = status["battery"].get("charging") is True  # it is an object, or `_number` failed
    return f"The battery is at {level} percent{' and charging' if charging else ''}."


async def _status_ask(_slots: Mapping[str, Any], call: CallTool) -> str:
    status = await _status(call)
    said = [f"volume is {_number(status, 'audio_speaker', 'volume')} percent"]
    if "battery" in status:
        said.append(f"the battery is at {_number(status, 'battery', 'level')} percent")
    return f"I am fine: {' and '.join(said)}."


async def _light(slots: Mapping[str, Any], call: CallTool) -> str:
    name = str(slots["color"])
    red, green, blue = _COLOURS[name]
    await call(SET_COLOR, {"r": red, "g": green, "b": blue})
    return "The light is off." if name == "off" else f"The light is {name} now."


_COLOURS: Final[dict[str, tuple[int, int, int]]] = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "white": (255, 255, 255),
    "yellow": (255, 200, 0),
    "orange": (255, 100, 0),
    "purple": (160, 0, 255),
    "pink": (255, 80, 160),
    "cyan": (0, 255, 255),
    "off": (0, 0, 0),
}

# Intent -> the tools it needs, what it does in words, and how.
_ACTIONS: Final[
    dict[str, tuple[tuple[str, ...], str, Callable[[Mapping[str, Any], CallTool], Awaitable[str]]]]
] = {
    "VolumeTo": ((SET_VOLUME,), "set the volume", _volume_to),
    "VolumeChange": ((SET_VOLUME, STATUS), "change the volume", _volume_change),
    "VolumeAsk": ((STATUS,), "tell the volume", _volume_ask),
    "BatteryAsk": ((STATUS,), "tell the battery level", _battery_ask),
    "StatusAsk": ((STATUS,), "tell how I am", _status_ask),
    "Light": ((SET_COLOR,), "change the light", _light),
}
