"""A short run of the fuzzer; CI gives it a minute by `HARKEN_FUZZ_SECONDS=60`."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

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
def test_nothing_but_the_devices_own_errors_escapes(tmp_path: Path) -> None:
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("needs atheris: `make setup`")
    seconds = int(os.environ.get("HARKEN_FUZZ_SECONDS", "5"))
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(SEEDS):
        (corpus / str(number)).write_bytes(seed)
    script = Path(__file__).with_name("fuzz_firmware.py")
    command = [sys.executable, str(script), f"-max_total_time={seconds}", "-timeout=5"]
    done = subprocess.run(
        [*command, f"-artifact_prefix={tmp_path}/", str(corpus)],
        capture_output=True,
        text=True,
        timeout=seconds + 60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3_000:]
