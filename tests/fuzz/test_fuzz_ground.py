"""The fuzzer of what strangers hand to the gateway first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harken.audio.opus import Encoder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SEEDS = [
    b'\x00AA:BB\n{"application":{"version":"2.4"},"board":{"type":"toy"},"mac_address":"aa"}',
    b"\x01http://[::1]:8003",
    b"\x01Bearer 0123456789abcdef",
    b'\x02[server]\nhttp_port = 1\ntokens = ["0123456789abcdef"]\n[agent.llm]\ntemperature = 0.5\n',
    b"\x03" + Encoder(16_000).encode(bytes(640)),
    b"\x03" + Encoder(16_000, frame_ms=60).encode(bytes(range(256)) * 7 + bytes(128)),
]


@pytest.mark.fuzz
@pytest.mark.timeout(150)
def test_nothing_but_named_errors_escapes(fuzz: Callable[[str, Iterable[bytes]], None]) -> None:
    fuzz("fuzz_ground", SEEDS)
