"""Properties of the device's parsers, run in the real MicroPython: whatever comes, only their own
errors leave them, and what is well formed arrives unchanged however the network cuts it.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("micropython_unix", reason="pip install 'harken[rig]'")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harken_hil.micropython import Conversation, firmware_paths

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPT = Path(__file__).parents[1] / "data" / "micropython" / "parsers.py"
PATIENT = settings(
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def device() -> Iterator[Conversation]:
    with Conversation(SCRIPT, paths=firmware_paths(), heap_kib=2048) as conversation:
        yield conversation


def answer(device: Conversation, line: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(device.ask(line))
    assert "escaped" not in told, told
    return told


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4)
    ),
    max_leaves=12,
)
TYPES = ("hello", "stt", "llm", "tts", "mcp", "system", "alert", "goodbye", "custom", "iot")
NAMES = (
    "transport",
    "session_id",
    "audio_params",
    "harken",
    "text",
    "state",
    "payload",
    "command",
    "status",
    "message",
    "emotion",
    "features",
    "v",
    "frame_ms",
    "format",
    "sample_rate",
)
MESSAGES = st.builds(
    lambda kind, fields: {**fields, "type": kind},
    st.sampled_from(TYPES),
    st.dictionaries(
        st.sampled_from(NAMES), JSON | st.dictionaries(st.sampled_from(NAMES), JSON), max_size=6
    ),
)


@PATIENT
@given(data=st.binary(min_size=1, max_size=200))
def test_bytes_that_mean_nothing(device: Conversation, data: bytes) -> None:
    for command in ("json", "hello", "boot", "binary 1", "binary 2", "binary 3"):
        answer(device, f"{command} {data.hex()}")


@PATIENT
@given(message=MESSAGES)
def test_messages_with_fields_of_any_kind(device: Conversation, message: dict[str, Any]) -> None:
    data = json.dumps(message).encode().hex()
    for command in ("json", "boot"):
        answer(device, f"{command} {data}")
    answer(
        device,
        "hello "
        + json.dumps({"transport": "websocket", **message, "type": "hello"}).encode().hex(),
    )


@PATIENT
@given(
    boot=st.dictionaries(
        st.sampled_from(["server_time", "firmware", "activation", "websocket", "mqtt"]),
        JSON
        | st.dictionaries(
            st.sampled_from(["timestamp", "version", "code", "url", "token"]), JSON, max_size=5
        ),
    )
)
def test_boot_answers_with_sections_of_any_kind(device: Conversation, boot: object) -> None:
    assert "ok" in answer(device, "boot " + json.dumps(boot).encode().hex())


@PATIENT
@given(
    request=st.fixed_dictionaries(
        {"id": st.integers(0, 2**31) | JSON},
        optional={
            "method": st.sampled_from(["initialize", "tools/list", "tools/call", "ping"]) | JSON,
            "params": JSON
            | st.fixed_dictionaries(
                {},
                optional={
                    "cursor": JSON,
                    "name": st.sampled_from(["self.audio_speaker.set_volume", "self.led.set_color"])
                    | JSON,
                    "arguments": JSON
                    | st.dictionaries(st.sampled_from(["volume", "r", "g", "b"]), JSON),
                },
            ),
        },
    )
)
def test_tool_requests_of_any_kind(device: Conversation, request: dict[str, Any]) -> None:
    told = answer(device, "mcp " + json.dumps(request).encode().hex())["ok"]
    if told is not None:
        reply = json.loads(told)
        assert ("result" in reply) != ("error" in reply)


@PATIENT
@given(
    payload=st.binary(max_size=400), version=st.sampled_from("123"), timestamp=st.integers(0, 2**30)
)
def test_a_packed_frame_is_found_again(
    device: Conversation, payload: bytes, version: str, timestamp: int
) -> None:
    packed = answer(device, f"pack {version} {len(payload)} {timestamp}")["ok"]
    offset, length, is_text = answer(device, f"binary {version} {packed or '00'}")["ok"]
    if payload:
        assert (offset * 2 + length * 2, length, is_text) == (len(packed), len(payload), False)


# --------------------------------------------------------------------------- WebSocket


def frame(opcode: int, payload: bytes, final: bool = True) -> bytes:
    """A server's frame, RFC 6455 section 5.2."""
    head = bytes([0x80 * final | opcode])
    if len(payload) < 126:
        return head + bytes([len(payload)]) + payload
    return head + bytes([126]) + len(payload).to_bytes(2, "big") + payload


TEXTS = st.text(max_size=60) | st.text(st.characters(codec="utf-8"), min_size=200, max_size=400)
CONTENT = TEXTS | st.binary(max_size=60) | st.binary(min_size=120, max_size=400)
CUTS = st.lists(st.integers(0, 10_000), max_size=6)


def fragments(content: str | bytes, cuts: list[int], pings: bool) -> bytes:
    """The frames of one message, cut at `cuts`, with a ping between where wanted."""
    data = content.encode() if isinstance(content, str) else content
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    out = b""
    for i in range(len(places) - 1):
        opcode = 0 if i else 1 if isinstance(content, str) else 2
        out += frame(opcode, data[places[i] : places[i + 1]], final=i == len(places) - 2)
        out += frame(9, b"p") if pings else b""
    return out


def pieces(data: bytes, cuts: list[int]) -> str:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return ",".join(data[a:b].hex() for a, b in itertools.pairwise(places))


@PATIENT
@given(
    messages=st.lists(st.tuples(CONTENT, CUTS, st.booleans()), min_size=1, max_size=5), cuts=CUTS
)
def test_messages_survive_fragments_and_the_network(
    device: Conversation, messages: list[tuple[str | bytes, list[int], bool]], cuts: list[int]
) -> None:
    stream = b"".join(fragments(*message) for message in messages)
    told = answer(device, "ws " + pieces(stream, cuts))["ok"]
    assert told["code"] == 0
    assert told["messages"] == [
        ["text", content] if isinstance(content, str) else ["binary", content.hex()]
        for content, _, _ in messages
    ]


@PATIENT
@given(data=st.binary(min_size=1, max_size=300), cuts=CUTS)
def test_bytes_that_are_no_frames(device: Conversation, data: bytes, cuts: list[int]) -> None:
    answer(device, "ws " + pieces(data, cuts))


@PATIENT
@given(
    messages=st.lists(st.tuples(CONTENT, CUTS, st.booleans()), min_size=1, max_size=3),
    flips=st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 255)), min_size=1, max_size=4),
    cuts=CUTS,
)
def test_frames_with_flipped_bits(
    device: Conversation,
    messages: list[tuple[str | bytes, list[int], bool]],
    flips: list[tuple[int, int]],
    cuts: list[int],
) -> None:
    stream = bytearray(b"".join(fragments(*message) for message in messages))
    for at, bits in flips:
        stream[at % len(stream)] ^= bits
    answer(device, "ws " + pieces(bytes(stream), cuts))


@PATIENT
@given(first=st.integers(0, 255), second=st.integers(0, 255), rest=st.binary(max_size=300))
def test_every_header(device: Conversation, first: int, second: int, rest: bytes) -> None:
    answer(device, "ws " + (bytes([first, second]) + rest).hex())
