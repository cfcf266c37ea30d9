"""Whatever a device sends, only errors of the protocol escape the parsers."""

from __future__ import annotations

import json
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from harken.errors import ProtocolError
from harken.links.xiaozhi import agree, uplink_event
from harken.wire import mcp, xiaozhi
from harken.wire.binary import MAX_PACKET, Version, pack, unpack

versions = st.sampled_from(cast("tuple[Version, ...]", (1, 2, 3)))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)
keys = st.sampled_from(
    ["type", "state", "mode", "text", "harken", "kind", "payload", "features", "version"]
)
kinds = st.sampled_from(["hello", "listen", "abort", "mcp", "iot", "ping", "harken", "x"])


@given(versions, st.binary(min_size=1, max_size=MAX_PACKET), st.integers(0, 2**32 - 1))
def test_every_packet_comes_back(version: Version, packet: bytes, timestamp_ms: int) -> None:
    payload = unpack(version, pack(version, packet, timestamp_ms))
    if version != 1:
        assert payload == (packet, timestamp_ms if version == 2 else 0, False)
    assert payload.data == packet


@given(versions, st.binary(max_size=200))
@settings(max_examples=500)
def test_any_binary_message(version: Version, message: bytes) -> None:
    try:
        payload = unpack(version, message)
    except ProtocolError:
        return
    assert 0 < len(payload.data) <= len(message)


@given(st.binary(max_size=300))
@settings(max_examples=500)
def test_any_bytes_for_json(text: bytes) -> None:
    parse(text)


@given(kinds, st.dictionaries(keys | st.text(), json_values))
@settings(max_examples=500)
def test_any_message_of_a_known_type(kind: str, message: dict[str, Any]) -> None:
    parse(json.dumps(message | {"type": kind}).encode())


@given(st.dictionaries(st.sampled_from(["id", "method", "result", "error"]), json_values))
@settings(max_examples=300)
def test_any_json_rpc(payload: dict[str, Any]) -> None:
    for parser in (mcp.parse_reply, mcp.parse_page, mcp.parse_result):
        try:
            parser(payload)
        except ProtocolError:
            continue


def parse(text: bytes) -> None:
    try:
        message = xiaozhi.decode(text)
        if isinstance(message, xiaozhi.HelloMessage):
            hello = agree(message, "3").hello
            assert hello.uplink_rate in {8_000, 12_000, 16_000, 24_000, 48_000}
            assert 20 <= hello.downlink_frame_ms <= 120
            return
        uplink_event(message, 0.0, wake_words=frozenset())
    except ProtocolError:
        return
