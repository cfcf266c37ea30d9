"""Benches run for real and compare like with like; no speed is asserted here."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from harken.errors import RigError
from harken_hil.bench import codec, start
from harken_hil.bench.measure import BenchOptions

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration


def test_codec_compares_the_same_work(tmp_path: Path) -> None:
    packets = codec._packets()
    bridge = codec._session_bridge(packets)
    loop = codec._compiled(tmp_path)
    assert loop is not None, "apt install gcc"
    sizes = {bridge(), codec._c_calls(loop, packets)(), codec._ctypes_calls(packets)(), bridge()}
    assert len(sizes) == 1
    assert sizes.pop() > len(packets) * 10


@pytest.mark.parametrize("compiler", ["C", "ctypes"])
def test_codec_gives_its_figure_with_and_without_a_compiler(
    compiler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if compiler == "ctypes":
        monkeypatch.setattr("shutil.which", lambda _name: None)
    result = codec.run(BenchOptions())
    (line,) = result.figures
    assert line.rival_name == f"libopus called from {compiler}"
    assert line.rival is not None
    assert line.rounds >= 5
    assert line.figure > 0
    assert line.goal == "ratio <= 1.1"


def test_codec_refuses_to_compare_different_work() -> None:
    with pytest.raises(RigError, match="different packets"):
        codec._measure(lambda: 1, lambda: 2, 5)


def test_start_takes_the_time_of_a_real_gateway(tmp_path: Path) -> None:
    ready_ms, leave_ms = start._serve_ms(start._clean_environment(tmp_path))
    assert ready_ms > 0
    assert leave_ms > 0
    assert (tmp_path / "data" / "harken" / "devices.sqlite3").is_file()


def test_start_tells_a_program_that_fails_from_one_that_is_quick(tmp_path: Path) -> None:
    environment = start._clean_environment(tmp_path)
    with pytest.raises(RigError, match="oh no"):
        start._run_ms([sys.executable, "-c", "raise SystemExit('oh no')"], environment)


def test_start_leaves_out_a_person_s_own_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARKEN_SERVER__HOST", "0.0.0.0")
    assert "HARKEN_SERVER__HOST" not in start._clean_environment(tmp_path)
