"""A short run of the fuzzer; CI gives it a minute by `HARKEN_FUZZ_SECONDS=60`."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harken.audio.opus import Encoder

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
def test_nothing_but_named_errors_escapes(tmp_path: Path) -> None:
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("needs atheris: `make setup`")
    seconds = int(os.environ.get("HARKEN_FUZZ_SECONDS", "5"))
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(SEEDS):
        (corpus / str(number)).write_bytes(seed)
    script = Path(__file__).with_name("fuzz_ground.py")
    command = [sys.executable, str(script), f"-max_total_time={seconds}", "-timeout=5"]
    done = subprocess.run(
        [*command, f"-artifact_prefix={tmp_path}/", str(corpus)],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=seconds + 60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3_000:]
