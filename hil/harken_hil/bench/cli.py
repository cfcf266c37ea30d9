"""`harken bench NAME`."""

from __future__ import annotations

import importlib
import json
from typing import TYPE_CHECKING, Final, Protocol, cast

import click
from rich_click import RichCommand

from harken_hil.bench.measure import MIN_ROUNDS, BenchOptions, BenchResult, Figure

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["BENCHES", "bench", "load_bench"]

BENCHES: Final[dict[str, tuple[str, str]]] = {
    "start": ("harken_hil.bench.start", "`harken --help` and `harken serve` until ready"),
    "wake": ("harken_hil.bench.wake", "the int8 wake word engine, per 30 ms step"),
    "codec": ("harken_hil.bench.codec", "the session's codec bridge, per 20 ms"),
    "relay": ("harken_hil.bench.relay", "CPU per frame carried by the device WebSocket"),
    "turn": ("harken_hil.bench.turn", "voice to voice with the local agent"),
}
"""Bench -> its module, which has `run(options) -> BenchResult`, and what it measures."""


class Bench(Protocol):
    """A module that measures."""

    def run(self, options: BenchOptions) -> BenchResult:
        """Measure."""
        ...


def load_bench(name: str) -> Bench:
    """The module of a bench, imported now."""
    return cast("Bench", importlib.import_module(BENCHES[name][0]))


@click.command(
    cls=RichCommand,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="  \n".join(f"`{name}`: {what}" for name, (_, what) in BENCHES.items()),
)
@click.argument("name", type=click.Choice(list(BENCHES)))
@click.option(
    "--rounds", default=MIN_ROUNDS, type=click.IntRange(MIN_ROUNDS, 100), show_default=True
)
@click.option(
    "--set", "pairs", multiple=True, metavar="NAME=VALUE", help="Change what a bench runs."
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def bench(name: str, rounds: int, pairs: tuple[str, ...], *, as_json: bool) -> None:
    """Measure a figure beside its rival and its floor, in one run."""
    options = BenchOptions(rounds, _settings(pairs))
    result = load_bench(name).run(options)
    if as_json:
        click.echo(json.dumps(result.as_json()))
        return
    for line in result.figures:
        click.echo(_for_people(line))


def _settings(pairs: Iterable[str]) -> dict[str, str]:
    settings: dict[str, str] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not name or not sign:
            raise click.BadParameter(f"{pair!r} is not NAME=VALUE", param_hint="--set")
        settings[name] = value
    return settings


def _for_people(line: Figure) -> str:
    parts = [f"{line.name}: {line.figure:.4g} {line.unit}"]
    for value, what in (
        (line.rival, line.rival_name or "rival"),
        (line.floor, line.floor_name or "floor"),
    ):
        if value is not None:
            parts.append(f"{what} {value:.4g}")
    if line.ratio is not None:
        parts.append(f"ratio {line.ratio:.3f}")
    parts.append(f"goal {line.goal}: {'met' if line.met else 'NOT met'}")
    return ", ".join(parts)
