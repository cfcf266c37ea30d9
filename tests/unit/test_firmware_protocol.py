"""What the device makes of messages and frames, asked of the real MicroPython."""

from __future__ import annotations

import json
import struct
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


def ask(device: Conversation, command: str, *arguments: object) -> dict[str, Any]:
    shown = [a if isinstance(a, str) else json.dumps(a).encode().hex() for a in arguments]
    answer: dict[str, Any] = json.loads(device.ask(" ".join([command, *shown])))
    return answer


GOOD: list[dict[str, Any]] = [
    {"type": "hello", "transport": "websocket"},
    {"type": "stt", "text": "what time is it", "session_id": "s"},
    {"type": "llm", "emotion": "happy"},
    {"type": "tts", "state": "start"},
    {"type": "tts", "state": "stop", "harken": {"cancelled": True}},
    {"type": "mcp", "payload": {"id": 1}},
    {"type": "alert", "status": "a", "message": "b", "emotion": "c"},
    {"type": "goodbye"},
]
BAD: list[Any] = [
    {},
    [],
    "text",
    7,
    None,
    {"type": "shout"},
    {"type": ["hello"]},
    {"type": "stt"},
    {"type": "stt", "text": 7},
    {"type": "stt", "text": "x" * 4097},
    {"type": "tts"},
    {"type": "tts", "state": "stop", "harken": True},
    {"type": "mcp", "payload": "{}"},
    {"type": "alert", "status": "a"},
    {"type": "hello"},
]


@pytest.mark.parametrize("message", GOOD, ids=json.dumps)
def test_takes_a_message(device: Conversation, message: dict[str, Any]) -> None:
    assert ask(device, "json", message) == {"ok": message}


@pytest.mark.parametrize("message", BAD, ids=lambda message: json.dumps(message)[:30])
def test_refuses_a_message(device: Conversation, message: object) -> None:
    data = json.dumps(message).encode().hex()
    assert ask(device, "json", data)["error"] == "ProtocolError"


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"\xff\xfe", b"{'type':'tts'}", b"[" * 3000, b"nul", b'{"type":"tts"'],
    ids=repr,
)
def test_refuses_what_is_not_json(device: Conversation, text: bytes) -> None:
    answer = ask(device, "json", text.hex() or "20")
    assert answer["error"] == "ProtocolError"


def hello(**changes: Any) -> dict[str, Any]:
    return {"type": "hello", "transport": "websocket", "session_id": "s1", **changes}


def test_agrees_with_a_gateway_that_knows_us(device: Conversation) -> None:
    ours = {"v": 1, "features": ["marks", "playout", "telepathy"], "frame_ms": 20}
    answer = ask(device, "hello", hello(harken=ours))
    assert answer["ok"] == ["s1", ["playout", "marks"], 20, True]


@pytest.mark.parametrize(
    "ours",
    [
        None,
        {},
        {"v": 2, "features": ["marks"], "frame_ms": 20},
        {"v": 1, "features": "marks", "frame_ms": 40},
        {"v": 1, "frame_ms": 20.0},
        {"v": 1, "frame_ms": [20]},
    ],
    ids=json.dumps,
)
def test_falls_back_to_stock(device: Conversation, ours: object) -> None:
    session_id, features, frame_ms, _ = ask(device, "hello", hello(harken=ours))["ok"]
    assert (session_id, features, frame_ms) == ("s1", [], 60)


@pytest.mark.parametrize(
    "changes",
    [
        {"transport": "udp"},
        {"audio_params": {"format": "pcm"}},
        {"audio_params": {"sample_rate": 44_100}},
        {"audio_params": {"sample_rate": [24_000]}},
        {"audio_params": {"channels": 2}},
        {"audio_params": "opus"},
        {"session_id": 7},
        {"harken": 1},
    ],
    ids=json.dumps,
)
def test_refuses_a_hello(device: Conversation, changes: dict[str, Any]) -> None:
    assert ask(device, "hello", hello(**changes))["error"] == "ProtocolError"


def v2(version: int = 2, kind: int = 0, size: int = 2) -> str:
    """A version 2 message with the payload aa bb."""
    return (struct.pack(">HHIII", version, kind, 0, 0, size) + b"\xaa\xbb").hex()


def test_packs_audio_as_each_version_wants(device: Conversation) -> None:
    body = "00" * 5
    assert ask(device, "pack", "1", "5", "7")["ok"] == body
    assert ask(device, "pack", "2", "5", "305419896")["ok"] == (
        struct.pack(">HHIII", 2, 0, 0, 305419896, 5).hex() + body
    )
    assert ask(device, "pack", "3", "5", "7")["ok"] == "00000005" + body


def test_finds_audio_as_each_version_packs_it(device: Conversation) -> None:
    assert ask(device, "binary", "1", "aabb")["ok"] == [0, 2, False]
    assert ask(device, "binary", "2", v2())["ok"] == [16, 2, False]
    assert ask(device, "binary", "2", v2(kind=1))["ok"][2] is True
    assert ask(device, "binary", "3", "00000002aabb")["ok"] == [4, 2, False]
    assert ask(device, "binary", "3", "01000002aabb")["ok"] == [4, 2, True]


@pytest.mark.parametrize(
    ("version", "data"),
    [
        ("2", "00"),
        ("2", v2(version=3)),
        ("2", v2(kind=2)),
        ("2", v2(size=3)),
        ("2", v2(size=0x10002)),
        ("2", v2(size=0xFFFFFFFF)),
        ("3", "000000"),
        ("3", "00000003aabb"),
        ("3", "00000001aabb"),
        ("3", "02000002aabb"),
        ("4", "aa"),
    ],
)
def test_refuses_a_frame(device: Conversation, version: str, data: str) -> None:
    assert ask(device, "binary", version, data)["error"] == "ProtocolError"


@pytest.mark.parametrize("numbers", [(0, 0, 0), (1, 20, 300), (123_456_789, 7, 10**12), (-5, 0, 0)])
def test_reports_playout_in_one_buffer(device: Conversation, numbers: tuple[int, ...]) -> None:
    report = json.loads(ask(device, "playout", *map(str, numbers))["ok"])
    bounded = [min(max(number, 0), 999_999_999) for number in numbers]
    assert [report["played_ms"], report["buffered_ms"], report["late"]] == bounded
    assert (report["type"], report["kind"], report["session_id"]) == ("harken", "playout", 's"1')
    assert report["ended"] is False


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, [0, None, "", ""]),
        ({"websocket": None, "server_time": [], "firmware": 7}, [0, None, "", ""]),
        ({"websocket": {"url": "ws://h/"}}, [0, ["ws://h/", "", 1], "", ""]),
        (
            {"websocket": {"url": "wss://h/", "token": "t", "version": 3}},
            [0, ["wss://h/", "t", 3], "", ""],
        ),
        ({"websocket": {"url": "ws://h/", "version": 9}}, [0, ["ws://h/", "", 1], "", ""]),
        ({"websocket": {"url": "ws://h/", "token": 5}}, [0, ["ws://h/", "", 1], "", ""]),
        ({"websocket": {"url": "ws://h/", "version": True}}, [0, ["ws://h/", "", 1], "", ""]),
        ({"websocket": {"url": "http://h/"}}, [0, None, "", ""]),
        ({"websocket": {"url": "ws://" + "h" * 2000}}, [0, None, "", ""]),
        ({"server_time": {"timestamp": 1_757_567_894_012}}, [1_757_567_894_012, None, "", ""]),
        ({"server_time": {"timestamp": -1}}, [0, None, "", ""]),
        ({"firmware": {"version": "2.0"}}, [0, None, "2.0", ""]),
        ({"activation": {"code": "123456"}}, [0, None, "", "123456"]),
        ({"mqtt": {"endpoint": "h:1883"}}, [0, None, "", ""]),
    ],
)
def test_takes_what_it_can_of_a_boot_answer(
    device: Conversation, told: object, expected: list[Any]
) -> None:
    assert ask(device, "boot", told) == {"ok": expected}


@pytest.mark.parametrize("body", ["", "[]", "7", "<html>", '{"websocket":'])
def test_refuses_a_boot_answer(device: Conversation, body: str) -> None:
    assert ask(device, "boot", (body.encode() or b" ").hex())["error"] == "BootstrapError"
