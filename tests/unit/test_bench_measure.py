"""The bench frame: rounds, ratios, and floors that fail."""

from __future__ import annotations

import json
from itertools import count
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from harken.errors import RigError
from harken_hil.bench import cli
from harken_hil.bench.measure import (
    BenchOptions,
    BenchResult,
    Figure,
    Goal,
    Samples,
    figure,
    interleave,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


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


def test_options_read_numbers() -> None:
    options = BenchOptions(5, {"streams": "20", "word": "x"})
    assert options.number("streams", 1) == 20
    assert options.number("seconds", 1.5) == 1.5
    with pytest.raises(RigError, match="--set word=x"):
        options.number("word", 1)


@pytest.fixture
def one_bench(monkeypatch: pytest.MonkeyPatch) -> list[BenchOptions]:
    asked: list[BenchOptions] = []

    class Module:
        @staticmethod
        def run(options: BenchOptions) -> BenchResult:
            asked.append(options)
            line = Figure("step", "us", 2.0, 4.0, 1.0, 0.5, "ratio <= 1", met=True, rounds=5)
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
    assert one_bench == [BenchOptions(7, {"seconds": "2"})]


def test_people_get_a_line(one_bench: list[BenchOptions]) -> None:
    result = CliRunner().invoke(cli.bench, ["wake"], catch_exceptions=False)
    assert result.stdout == ("step: 2 us, rival 4, floor 1, ratio 0.500, goal ratio <= 1: met\n")
    assert one_bench[0].rounds == 5


@pytest.mark.parametrize("wrong", [["what"], ["wake", "--rounds", "2"], ["wake", "--set", "x"]])
def test_a_wrong_command_line_is_refused(wrong: list[str]) -> None:
    result = CliRunner().invoke(cli.bench, wrong)
    assert result.exit_code == 2
