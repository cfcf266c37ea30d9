"""Commands to the device: understood however they are said, done with the device's own tools."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from harken.agents.intents import SET_COLOR, SET_VOLUME, STATUS, Intent, act, match
from harken.errors import ToolError

if TYPE_CHECKING:
    from collections.abc import Mapping

ALL = (SET_VOLUME, STATUS, SET_COLOR)


class SimDevice:
    """A device's tools, as its MCP server offers them."""

    def __init__(self, volume: int = 50, status: str | None = None) -> None:
        self.volume = volume
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._status = status

    async def __call__(self, name: str, arguments: Mapping[str, Any]) -> str:
        self.calls.append((name, dict(arguments)))
        if name == STATUS:
            return self._status or json.dumps({"audio_speaker": {"volume": self.volume}})
        if name == SET_VOLUME:
            self.volume = arguments["volume"]
        return "true"


@pytest.mark.parametrize(
    ("said", "name", "slots"),
    [
        ("Turn the volume up.", "VolumeChange", {"direction": "up"}),
        ("turn up the volume please", "VolumeChange", {"direction": "up"}),
        ("Please, turn it up!", "VolumeChange", {"direction": "up"}),
        ("I'll turn the volume up.", "VolumeChange", {"direction": "up"}),
        ("Um, well, turn the volume up.", "VolumeChange", {"direction": "up"}),
        ("Can you speak louder please?", "VolumeChange", {"direction": "up"}),
        ("Turn it down a little.", "VolumeChange", {"direction": "down"}),
        ("That's too loud!", "VolumeChange", {"direction": "down"}),
        ("That’s too loud!", "VolumeChange", {"direction": "down"}),  # noqa: RUF001
        ("Lower the volume by twenty percent.", "VolumeChange", {"direction": "down", "level": 20}),
        ("Set the volume to 30%.", "VolumeTo", {"level": 30}),
        ("Set the volume to thirty percent", "VolumeTo", {"level": 30}),
        ("Set the volume to twenty-five percent.", "VolumeTo", {"level": 25}),
        ("VOLUME TO EIGHTY", "VolumeTo", {"level": 80}),
        ("Turn the volume up to 55.", "VolumeTo", {"level": 55}),
        ("Turn the volume to a hundred percent", "VolumeTo", {"level": 100}),
        ("Maximum volume!", "VolumeTo", {"level": 100}),
        ("Mute.", "VolumeTo", {"level": 0}),
        ("Turn off the sound", "VolumeTo", {"level": 0}),
        ("What's the volume?", "VolumeAsk", {}),
        ("How loud are you?", "VolumeAsk", {}),
        ("What's the battery level?", "BatteryAsk", {}),
        ("How much battery do you have left?", "BatteryAsk", {}),
        ("What is your status?", "StatusAsk", {}),
        ("Turn the lamp blue", "Light", {"color": "blue"}),
        ("Make the light green, please...", "Light", {"color": "green"}),
        ("Turn off the light.", "Light", {"color": "off"}),
        ("Switch the LED on", "Light", {"color": "white"}),
    ],
)
def test_commands_are_understood(said: str, name: str, slots: dict[str, Any]) -> None:
    intent = match(said)
    assert intent is not None
    assert intent.name == name
    assert {slot: intent.slots[slot] for slot in slots} == slots


@pytest.mark.parametrize(
    "said",
    [
        "What is the capital of France?",
        "What's the volume of a sphere?",
        "Tell me a story about a red light",
        "Who turned off the light in the kitchen yesterday?",
        "I love blue",
        "turn it off",
        "Please",
        "",
        "   ",
        "...",
        "up",
        "x" * 10_000,
        "{level} [percent] (a|b)",
        "\x00\ud800",
    ],
)
def test_everything_else_is_for_the_model(said: str) -> None:
    assert match(said) is None


def test_other_languages_are_for_the_model() -> None:
    assert match("mute", "de-DE") is None
    assert match("mute", "en-GB") == Intent("VolumeTo", {"level": 0})


async def spoken(said: str, device: SimDevice, tools: tuple[str, ...] = ALL) -> str:
    intent = match(said)
    assert intent is not None
    return await act(intent, tools, device)


async def test_turning_up_asks_how_loud_it_is_first() -> None:
    device = SimDevice(volume=70)
    assert await spoken("Turn the volume up.", device) == "Volume is now 80 percent."
    assert device.calls == [(STATUS, {}), (SET_VOLUME, {"volume": 80})]


@pytest.mark.parametrize(
    ("volume", "said", "then"), [(95, "louder", 100), (4, "quieter", 0), (50, "mute", 0)]
)
async def test_the_volume_stays_within_its_range(volume: int, said: str, then: int) -> None:
    device = SimDevice(volume)
    await spoken(said, device)
    assert device.volume == then


async def test_asking_changes_nothing() -> None:
    device = SimDevice(35)
    assert await spoken("What's the volume?", device) == "Volume is 35 percent."
    assert device.calls == [(STATUS, {})]


async def test_the_light_takes_its_colour() -> None:
    device = SimDevice()
    assert await spoken("make the lamp blue", device) == "The light is blue now."
    assert device.calls == [(SET_COLOR, {"r": 0, "g": 0, "b": 255})]


@pytest.mark.parametrize(
    ("battery", "answer"),
    [
        ({}, "This device has no battery."),
        ({"battery": {"level": 80, "charging": False}}, "The battery is at 80 percent."),
        (
            {"battery": {"level": 80, "charging": True}},
            "The battery is at 80 percent and charging.",
        ),
    ],
)
async def test_the_battery_is_told(battery: dict[str, Any], answer: str) -> None:
    device = SimDevice(status=json.dumps({"audio_speaker": {"volume": 5}, **battery}))
    assert await spoken("what's the battery level", device) == answer


async def test_a_device_without_the_tool_says_so() -> None:
    device = SimDevice()
    assert "cannot change the light" in await spoken("lamp blue", device, (STATUS,))
    assert "cannot change the volume" in await spoken("louder", device, (SET_VOLUME,))
    assert device.calls == []


@pytest.mark.parametrize(
    "status",
    [
        "",
        "nonsense",
        "[]",
        "{}",
        '{"audio_speaker": 3}',
        '{"audio_speaker": {"volume": "loud"}}',
        '{"audio_speaker": {"volume": null}}',
        '{"audio_speaker": {"volume": 1e999}}',
    ],
)
async def test_a_device_that_talks_nonsense_is_excused(status: str) -> None:
    device = SimDevice(status=status or " ")
    assert await spoken("louder", device) == "Sorry, I could not change the volume."
    assert device.calls == [(STATUS, {})]


async def test_a_device_that_does_not_answer_is_excused() -> None:
    async def call(name: str, arguments: Mapping[str, Any]) -> str:
        raise ToolError(f"{name} did not answer")

    assert await act(Intent("VolumeTo", {"level": 3}), ALL, call) == (
        "Sorry, I could not set the volume."
    )
