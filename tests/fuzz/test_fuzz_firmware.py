"""The fuzzer of what the device parses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

HELLO: dict[str, Any] = {
    "type": "hello",
    "transport": "websocket",
    "session_id": "s",
    "audio_params": {"format": "opus", "sample_rate": 24_000, "channels": 1},
    "harken": {"v": 1, "features": ["playout"], "frame_ms": 20},
}
CALL = {"name": "self.audio_speaker.set_volume", "arguments": {"volume": 5}}
SEEDS = [
    b"\x00\xff\x81\x05hello\x89\x01p\x02\x01a\x80\x01b\x88\x02\x03\xe8",
    b"\x00\x01\x82\x7e\x00\x80" + bytes(128),
    b"\x01opus",
    b"\x02\x00\x02" + bytes(13) + b"\x01x",
    b"\x03\x00\x00\x00\x01x",
    b"\x04" + json.dumps(HELLO).encode(),
    b"\x04" + json.dumps({"type": "tts", "state": "stop", "harken": {"cancelled": True}}).encode(),
    b"\x05" + json.dumps({"websocket": {"url": "ws://h/", "token": "t", "version": 3}}).encode(),
    b"\x05" + json.dumps({"server_time": {"timestamp": 1}, "activation": {"code": "1"}}).encode(),
    b"\x06" + json.dumps({"id": 10, "method": "tools/list", "params": {"cursor": ""}}).encode(),
    b"\x06" + json.dumps({"id": 10, "method": "tools/call", "params": CALL}).encode(),
]


@pytest.mark.fuzz
@pytest.mark.timeout(150)
def test_nothing_but_the_devices_own_errors_escapes(
    fuzz: Callable[[str, Iterable[bytes]], None],
) -> None:
    fuzz("fuzz_firmware", SEEDS)
