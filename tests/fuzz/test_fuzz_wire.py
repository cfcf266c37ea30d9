"""The fuzzer of everything that parses bytes of a device."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SEEDS = [
    b"\x00" + json.dumps(message).encode()
    for message in (
        {"type": "hello", "version": 3, "features": {"mcp": True}, "audio_params": {}},
        {"type": "hello", "harken": {"v": 1, "features": ["playout"], "frame_ms": [20]}},
        {"type": "listen", "state": "start", "mode": "auto"},
        {"type": "mcp", "payload": {"id": 1, "result": {"tools": [{"name": "a"}]}}},
        {"type": "harken", "kind": "marks", "now": 1, "samples": {"speech_end": 1}},
    )
] + [b"\x01Habc", b"\x02" + b"\x00\x02" + bytes(13) + b"\x01x", b"\x03\x00\x00\x00\x01x"]


@pytest.mark.fuzz
@pytest.mark.timeout(150)
def test_nothing_but_protocol_errors_escapes(fuzz: Callable[[str, Iterable[bytes]], None]) -> None:
    fuzz("fuzz_wire", SEEDS)
