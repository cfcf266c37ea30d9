"""The benches that need models run for real, from end to end; no speed is asserted here."""

from __future__ import annotations

import importlib.util
import json

import pytest
from click.testing import CliRunner

from harken.errors import ModelMissingError
from harken_hil.bench import cli, turn, wake
from harken_hil.bench.measure import BenchOptions
from harken_models import store

pytestmark = [pytest.mark.e2e, pytest.mark.models, pytest.mark.timeout(300)]

MODELS = ("whisper-tiny", "smollm2-135m", "piper-joe", "silero-vad", "okay-nabu")


def test_wake_equals_the_reference_and_names_its_sides() -> None:
    for package in ("pymicro_wakeword", "tflite_micro"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"needs {package}: `make setup`")
    done = CliRunner().invoke(cli.bench, ["wake", "--json"], catch_exceptions=False)
    result = json.loads(done.stdout)
    steps = [line for line in result["figures"] if line["name"].endswith("a 30 ms step")]
    differing = [line for line in result["figures"] if "differ" in line["name"]]
    assert len(steps) == len(differing) == len(wake._MODELS)
    for line in steps:
        assert line["figure"] > 0
        assert line["rival"] > 0
        assert line["floor"] > 0
        assert line["rounds"] == 5
    for line in differing:
        assert line["figure"] == 0
        assert line["met"]


def test_turn_measures_the_whole_way(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in MODELS:
        try:
            store.locate(name)
        except ModelMissingError as error:
            pytest.skip(f"{error}; run `harken models pull`")
    # A configuration of whoever runs this has no say.
    monkeypatch.setenv("HARKEN_SERVER__HTTP_PORT", "none")
    p50, p95 = turn.run(BenchOptions(rounds=2)).figures
    assert p50.rounds + p50.failed == 2
    assert p50.failed == 0, p50.detail["failed_rounds"]
    assert p50.floor is not None
    assert p50.figure > p50.floor > 0
    assert p95.figure >= p50.figure
    assert p95.detail["samples"] == 2
    parts = p50.detail["parts_ms"]
    # What lies between may be done before the device knows that the question is over.
    assert parts["speech end found"] > 0
    assert parts["downlink, playout"] > 0
    assert all(ms >= 0 for ms in parts.values())
