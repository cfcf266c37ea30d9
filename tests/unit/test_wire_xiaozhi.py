"""JSON messages, as devices in the field send them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harken.errors import MalformedError, UnexpectedError
from harken.links import link as events
from harken.links.typed import plain_words
from harken.links.xiaozhi import agree, command_message, greeting, header_values, uplink_event
from harken.wire import xiaozhi as wire


def decode(message: dict[str, Any]) -> wire.UpMessage:
    return wire.decode(json.dumps(message).encode())


def event(message: dict[str, Any]) -> events.Uplink | None:
    return uplink_event(decode(message), 1.0, wake_words=plain_words(["hi esp"]))


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"type": "listen", "state": "start"}, events.ListenStart("auto")),
        (
            {"session_id": None, "type": "listen", "state": "start", "mode": "realtime"},
            events.ListenStart("realtime"),
        ),
        ({"type": "listen", "state": "stop"}, events.ListenStop(speech=True)),
        (
            {"type": "listen", "state": "stop", "harken": {"speech": False}},
            events.ListenStop(speech=False),
        ),
        ({"type": "listen", "state": "detect", "text": "Hi, ESP"}, events.Wake("Hi, ESP")),
        ({"type": "listen", "state": "detect", "text": "Hi ESP!"}, events.Wake("Hi ESP!")),
        ({"type": "listen", "state": "detect", "text": "hi_esp"}, events.Wake("hi_esp")),
        ({"type": "listen", "state": "detect", "text": "Hi, you"}, events.Text("Hi, you")),
        ({"type": "listen", "state": "detect", "text": " ?!"}, events.Wake(" ?!")),
        ({"type": "listen", "state": "detect"}, events.Wake("")),
        ({"type": "abort", "reason": None}, events.Abort("")),
        ({"type": "abort", "reason": "wake_word_detected"}, events.Abort("wake_word_detected")),
        ({"type": "mcp", "payload": {"id": 1}}, events.ToolReply({"id": 1})),
        ({"type": "goodbye", "session_id": "x"}, events.Goodbye()),
        (
            {"type": "harken", "kind": "playout", "played_ms": 5, "buffered_ms": 6, "late": 1},
            events.Playout(5, 6, 1, ended=False),
        ),
        (
            {"type": "harken", "kind": "marks", "now": 9, "samples": {"speech_end": 3}},
            events.Marks(9, {"speech_end": 3}, 1.0),
        ),
        ({"type": "iot", "descriptors": [{}]}, None),
    ],
)
def test_what_a_device_says(message: dict[str, Any], expected: events.Uplink | None) -> None:
    assert event(message) == expected


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"{}",
        b'{"type": 5}',
        b'{"type": "listen"}',
        b'{"type": "listen", "state": "start", "mode": "loud"}',
        b'{"type": "harken", "kind": "playout", "played_ms": -1}',
        b'{"type": "harken", "kind": "playout", "played_ms": 1e400}',
        b'{"type": "harken", "kind": "rumour"}',
        b'{"type": "abort", "reason": "' + b"x" * 5_000 + b'"}',
        b'{"type": "abort", "reason": "\xff"}',
        b'{"type": "hello"' + b" " * 40_000 + b"}",
        b'{"type": "mcp", "payload": ' + b'{"a":' * 4_000 + b"1" + b"}" * 4_000 + b"}",
    ],
)
def test_what_is_malformed(text: bytes) -> None:
    with pytest.raises(MalformedError):
        wire.decode(text)


def test_an_unknown_type_is_named_safely() -> None:
    with pytest.raises(UnexpectedError, match="unknown type 'new\ufffdline'"):
        wire.decode(b'{"type": "new\\nline"}')


def test_a_second_hello_is_unexpected() -> None:
    with pytest.raises(UnexpectedError):
        event({"type": "hello"})


def hello(**keys: Any) -> wire.HelloMessage:
    message = decode({"type": "hello"} | keys)
    assert isinstance(message, wire.HelloMessage)
    return message


def test_a_stock_hello() -> None:
    audio = {"format": "opus", "sample_rate": 16_000, "channels": 1, "frame_duration": 60}
    features = {"mcp": True, "aec": False, "glyph_push": True}
    agreement = agree(hello(version=3, features=features, audio_params=audio), "1")
    assert agreement.version == 3
    assert agreement.harken is None
    assert agreement.hello == events.Hello(16_000, 60, 24_000, 60, frozenset({"mcp"}))


def test_our_hello() -> None:
    offer = {"v": 1, "features": ["playout", "teleport"], "frame_ms": [20, 60], "now": 7}
    agreement = agree(hello(harken=offer), "2")
    assert agreement.version == 2
    assert agreement.hello == events.Hello(16_000, 20, 16_000, 20, frozenset({"playout"}))
    answer = json.loads(wire.encode(greeting(agreement, "s", "websocket")))
    assert answer["harken"] == {"features": ["playout"], "frame_ms": 20, "v": 1}
    assert answer["audio_params"]["sample_rate"] == 16_000


@pytest.mark.parametrize("header", ["", "9", "one", "2" * 5_000])
def test_a_silly_hello_is_made_sane(header: str) -> None:
    audio = {"sample_rate": 12_345, "channels": 9, "frame_duration": 7}
    agreement = agree(hello(version=99, features=None, audio_params=audio), header)
    assert agreement.version == 1
    assert agreement.hello == events.Hello(16_000, 60, 24_000, 60)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (events.Transcript("hi"), {"type": "stt", "text": "hi"}),
        (events.Emotion("happy", ":)"), {"type": "llm", "emotion": "happy", "text": ":)"}),
        (events.SpeechStart(), {"type": "tts", "state": "start"}),
        (events.Sentence("a"), {"type": "tts", "state": "sentence_start", "text": "a"}),
        (events.SpeechStop(), {"type": "tts", "state": "stop"}),
        (
            events.SpeechStop(cancelled=True),
            {"type": "tts", "state": "stop", "harken": {"cancelled": True}},
        ),
        (events.ToolRequest({"id": 10}), {"type": "mcp", "payload": {"id": 10}}),
        (
            events.Alert("error", "no", "sad"),
            {"type": "alert", "status": "error", "message": "no", "emotion": "sad"},
        ),
    ],
)
def test_what_a_device_is_told(command: events.Downlink, expected: dict[str, Any]) -> None:
    message = json.loads(wire.encode(command_message(command, "s")))
    assert message == expected | {"session_id": "s"}


def test_headers_win_over_the_query() -> None:
    values = header_values(
        {"Device-Id": "AA", "X": "1"}, {"device-id": "BB", "authorization": "Bearer t", "x": "2"}
    )
    assert values == {"device-id": "AA", "x": "1", "authorization": "Bearer t"}
