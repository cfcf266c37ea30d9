"""A short run of the fuzzer; CI gives it a minute by `HARKEN_FUZZ_SECONDS=60`."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

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
def test_nothing_but_protocol_errors_escapes(tmp_path: Path) -> None:
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("needs atheris: `make setup`")
    seconds = int(os.environ.get("HARKEN_FUZZ_SECONDS", "5"))
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(SEEDS):
        (corpus / str(number)).write_bytes(seed)
    script = Path(__file__).with_name("fuzz_wire.py")
    command = [sys.executable, str(script), f"-max_total_time={seconds}", "-timeout=5"]
    done = subprocess.run(
        [*command, f"-artifact_prefix={tmp_path}/", str(corpus)],
        capture_output=True,
        text=True,
        timeout=seconds + 60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3_000:]
