"""`harken bench NAME`."""

from __future__ import annotations

import importlib
import json
from typing import TYPE_CHECKING, Final, Protocol, cast

import click
from rich_click import RichCommand

from harken_hil.bench.measure import (
    MIN_ROUNDS,
    BenchOptions,
    BenchResult,
    Figure,
    Setting,
    read_settings,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["BENCHES", "bench", "load_bench"]

BENCHES: Final[dict[str, tuple[str, str]]] = {
    "start": ("harken_hil.bench.start", "`harken --help` and `harken serve` until ready"),
    "wake": ("harken_hil.bench.wake", "the int8 wake word engine, per 30 ms step"),
    "codec": ("harken_hil.bench.codec", "the session's codec bridge, per 20 ms"),
    "relay": ("harken_hil.bench.relay", "CPU per frame carried by the device WebSocket"),
    "turn": ("harken_hil.bench.turn", "voice to voice with the local agent"),
}
"""Bench -> its module (see `Bench`), and what it measures."""


class Bench(Protocol):
    """A module that measures.

    Attributes:
        ROUNDS: unless more or fewer are asked for.
        SETTINGS: what `--set` may change.
    """

    ROUNDS: int
    SETTINGS: Mapping[str, Setting]

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
    "--rounds",
    type=click.IntRange(MIN_ROUNDS, 100),
    help=f"Good rounds wanted; {MIN_ROUNDS} unless given, 10 of `turn`.",
)
@click.option(
    "--set",
    "pairs",
    multiple=True,
    metavar="NAME=VALUE",
    help="Change what a bench runs: `streams` and `seconds` of `relay`.",
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def bench(name: str, rounds: int | None, pairs: tuple[str, ...], *, as_json: bool) -> None:
    """Measure a figure beside its rival and its floor, in one run."""
    module = load_bench(name)
    options = BenchOptions(rounds or module.ROUNDS, read_settings(module.SETTINGS, pairs))
    result = module.run(options)
    if as_json:
        click.echo(json.dumps(result.as_json()))
        return
    for line in result.figures:
        click.echo(_for_people(line))
        for part in _parts(line):
            click.echo(part)


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
    if line.failed:
        parts.append(f"{line.failed} rounds failed")
    parts.append(f"goal {line.goal}: {'met' if line.met else 'NOT met'}")
    return ", ".join(parts)


def _parts(line: Figure) -> Iterator[str]:
    """Where the time of a figure went, for people; nothing where the bench did not look."""
    parts: Mapping[str, float] = line.detail.get("parts_ms", {})
    width = max(map(len, parts), default=0)
    for label, ms in parts.items():
        yield f"  {label:<{width}} {ms:8.1f} ms"
