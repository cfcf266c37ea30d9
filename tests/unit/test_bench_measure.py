"""The bench frame: rounds, ratios, and floors that fail."""

from __future__ import annotations

import json
from itertools import count
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from harken.errors import ConfigError, RigError
from harken_hil.bench import cli, relay, turn
from harken_hil.bench.measure import (
    BenchOptions,
    BenchResult,
    Figure,
    Goal,
    Samples,
    Setting,
    figure,
    interleave,
    read_settings,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

REAL_LOAD = cli.load_bench


def side(values: Iterator[float], name: str, order: list[str]) -> Callable[[], float]:
    def once() -> float:
        order.append(name)
        return next(values)

    return once


def test_sides_run_in_turn_and_the_order_rotates() -> None:
    order: list[str] = []
    samples = interleave(
        ours=side(count(1.0), "o", order),
        rival=side(count(10.0), "r", order),
        floor=side(count(100.0), "f", order),
    )
    assert "".join(order) == "orf" + "rfo" + "for" + "orf" + "rfo"
    assert list(samples.ours) == [1, 2, 3, 4, 5]
    assert list(samples.floor) == [100, 101, 102, 103, 104]
    assert samples.discarded == 0


def test_the_ratio_is_the_median_of_each_round_s_own() -> None:
    samples = Samples(ours=(1, 2, 30, 4, 5), rival=(2, 4, 3, 8, 10))
    assert samples.ratio() == 0.5


def test_a_round_whose_floor_fails_is_thrown_away_whole() -> None:
    floors = iter([1.0, 9.0, 1.0, 9.0, 1.0, 1.0, 1.0])
    ours = count(0.0)
    samples = interleave(
        ours=lambda: next(ours), floor=lambda: next(floors), floor_holds=lambda ms: ms < 5
    )
    assert samples.discarded == 2
    assert list(samples.ours) == [0, 2, 4, 5, 6]
    assert set(samples.floor) == {1.0}


def broken() -> float:
    raise RigError("no")


def test_a_floor_that_raises_has_failed_and_ours_that_raises_is_an_error() -> None:
    with pytest.raises(RigError, match="30 of 30 rounds"):
        interleave(ours=lambda: 1.0, floor=broken)
    with pytest.raises(RigError, match="no"):
        interleave(ours=broken, floor=lambda: 1.0)


def test_never_fewer_than_five_rounds() -> None:
    assert len(interleave(ours=lambda: 1.0, rounds=1).ours) == 5


def test_a_figure_judges_its_ratio_or_itself() -> None:
    samples = Samples((10, 11, 12, 13, 14), (10, 10, 10, 10, 10), (5, 5, 5, 5, 5), discarded=2)
    line = figure("x", "us", samples, Goal("ratio", "<=", 1.1))
    assert [line.figure, line.rival, line.floor, line.ratio] == [12, 10, 5, 1.2]
    assert not line.met
    assert line.goal == "ratio <= 1.1"
    assert (line.rounds, line.discarded) == (5, 2)
    assert figure("x", "us", samples, Goal("figure", "<=", 12)).met
    assert not figure("x", "us", samples, Goal("figure", ">=", 12.5)).met
    assert figure("x", "us", samples, Goal("figure", "==", 12)).met
    alone = Samples((10.0,) * 5, (), (5.0,) * 5)
    assert figure("x", "us", alone, Goal("ratio", "<=", 2)).ratio == 2
    with pytest.raises(RigError, match="needs a rival or a floor"):
        figure("x", "us", Samples((1.0,) * 5), Goal("ratio", "<=", 2))


def test_a_goal_may_be_a_ratio_to_the_floor() -> None:
    samples = Samples((10.0,) * 5, (20.0,) * 5, (5.0,) * 5)
    line = figure("x", "us", samples, Goal("ratio to floor", "<=", 1.0))
    assert line.ratio == 2
    assert not line.met
    assert line.goal == "ratio to floor <= 1"
    assert figure("x", "us", samples, Goal("ratio", "<=", 1.0)).ratio == 0.5


def test_a_failed_round_meets_no_goal() -> None:
    line = figure("x", "us", Samples((1.0,) * 5, failed=1), Goal("figure", "<=", 2))
    assert line.failed == 1
    assert not line.met


SETTINGS = {
    "streams": Setting("devices", 300, 1, 2_000),
    "seconds": Setting("how long", 1.0, 0.2, 60),
}


def test_settings_have_defaults_and_the_last_word_counts() -> None:
    assert read_settings(SETTINGS, []) == {"streams": 300, "seconds": 1}
    given = ["streams=20", "seconds=2.5", "streams=30"]
    assert read_settings(SETTINGS, given) == {"streams": 30, "seconds": 2.5}


@pytest.mark.parametrize(
    ("pair", "hint"),
    [
        ("stream=20", "did you mean streams"),
        ("secnods=1", "did you mean seconds"),
        ("x=1", "there are streams, seconds"),
        ("streams", "write streams=VALUE"),
        ("streams=many", "from 1 to 2000"),
        ("streams=nan", "from 1 to 2000"),
        ("streams=0", "from 1 to 2000"),
        ("seconds=61", "from 0.2 to 60"),
    ],
)
def test_a_wrong_setting_is_refused_and_the_right_one_named(pair: str, hint: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read_settings(SETTINGS, [pair])
    assert hint in refused.value.hint


def test_a_bench_without_settings_says_so() -> None:
    with pytest.raises(ConfigError, match="no settings"):
        read_settings({}, ["streams=1"])


@pytest.mark.parametrize("name", cli.BENCHES)
def test_every_bench_declares_rounds_and_settings(name: str) -> None:
    module = cli.load_bench(name)
    assert module.ROUNDS >= 5
    assert read_settings(module.SETTINGS, []).keys() == module.SETTINGS.keys()
    result = CliRunner().invoke(cli.bench, [name, "--set", "stream=1"])
    assert isinstance(result.exception, ConfigError)


def test_the_benches_defaults() -> None:
    assert turn.ROUNDS == 10
    assert set(relay.SETTINGS) == {"streams", "seconds"}


@pytest.fixture
def one_bench(monkeypatch: pytest.MonkeyPatch) -> list[BenchOptions]:
    asked: list[BenchOptions] = []

    class Module:
        ROUNDS = 6
        SETTINGS = SETTINGS

        @staticmethod
        def run(options: BenchOptions) -> BenchResult:
            asked.append(options)
            detail = {"parts_ms": {"speech to text": 90.25, "uplink": 5.0}}
            line = Figure(
                "step", "us", 2.0, 4.0, 1.0, 0.5, "ratio <= 1", met=True, rounds=5, detail=detail
            )
            return BenchResult("wake", (line,))

    monkeypatch.setattr(cli, "load_bench", lambda _name: Module)
    return asked


def test_json_names_figure_rival_floor_ratio_goal_and_met(one_bench: list[BenchOptions]) -> None:
    command = ["wake", "--json", "--rounds", "7", "--set", "seconds=2"]
    result = CliRunner().invoke(cli.bench, command, catch_exceptions=False)
    printed = json.loads(result.stdout)
    assert printed["bench"] == "wake"
    assert printed["met"] is True
    (line,) = printed["figures"]
    assert {name: line[name] for name in ("figure", "rival", "floor", "ratio", "goal", "met")} == {
        "figure": 2.0,
        "rival": 4.0,
        "floor": 1.0,
        "ratio": 0.5,
        "goal": "ratio <= 1",
        "met": True,
    }
    assert (line["rounds"], line["failed"]) == (5, 0)
    # Programs want no progress.
    assert one_bench == [BenchOptions(7, {"streams": 300, "seconds": 2}, silent=True)]


def test_the_json_goes_to_a_file_as_well(one_bench: list[BenchOptions], tmp_path: Path) -> None:
    out = tmp_path / "new" / "wake.json"
    CliRunner().invoke(cli.bench, ["wake", "--out", str(out)], catch_exceptions=False)
    assert json.loads(out.read_text())["figures"][0]["figure"] == 2.0
    assert not one_bench[0].quick


def test_only_some_benches_are_quick(one_bench: list[BenchOptions]) -> None:
    refused = CliRunner().invoke(cli.bench, ["wake", "--quick"])
    assert isinstance(refused.exception, ConfigError)
    assert not one_bench
    assert {name for name in cli.BENCHES if getattr(REAL_LOAD(name), "QUICK", False)} == {
        "wake-accuracy", "echo", "vad", "device",
    }  # fmt: skip


def test_people_get_a_line(one_bench: list[BenchOptions]) -> None:
    result = CliRunner().invoke(cli.bench, ["wake"], catch_exceptions=False)
    assert result.stdout == (
        "step: 2 us, rival 4, floor 1, ratio 0.500, goal ratio <= 1: met\n"
        "  speech to text     90.2 ms\n"
        "  uplink              5.0 ms\n"
    )
    assert one_bench[0].rounds == 6


@pytest.mark.parametrize("wrong", [["what"], ["wake", "--rounds", "2"]])
def test_a_wrong_command_line_is_refused(wrong: list[str]) -> None:
    result = CliRunner().invoke(cli.bench, wrong)
    assert result.exit_code == 2
