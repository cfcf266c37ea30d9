"""`harken bench NAME`."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, cast

import click
from rich_click import RichCommand

from harken.errors import ConfigError
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
    "echo": ("harken_hil.bench.echo", "echo left, harm done and CPU, over rooms and delays"),
    "vad": ("harken_hil.bench.vad", "speech or not, in noise and music, and how late its end"),
    "wake-accuracy": (
        "harken_hil.bench.wake_accuracy",
        "wake words heard and misheard, over the same phrases and hours",
    ),
    "device": ("harken_hil.bench.device", "instructions, RAM and flash of the audio path"),
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
    """The module of a bench, imported now.

    Raises:
        StartError: something that it imports is not installed.
    """
    try:
        return cast("Bench", importlib.import_module(BENCHES[name][0]))
    except ModuleNotFoundError as error:
        from harken_models.measure.needs import not_installed

        raise not_installed(f"`harken bench {name}`", [str(error.name)]) from error


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
@click.option(
    "--quick", is_flag=True, help="A small part of it: `echo`, `vad`, `wake-accuracy`, `device`."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the JSON there as well, e.g. for `harken_hil.bench.pictures`.",
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def bench(
    name: str,
    rounds: int | None,
    pairs: tuple[str, ...],
    out: Path | None,
    *,
    quick: bool,
    as_json: bool,
) -> None:
    """Measure a figure beside its rival and its floor, in one run."""
    module = load_bench(name)
    if quick and not getattr(module, "QUICK", False):
        raise ConfigError(f"{name} has no quick form", hint="leave --quick away")
    settings = read_settings(module.SETTINGS, pairs)
    options = BenchOptions(rounds or module.ROUNDS, settings, quick, silent=as_json)
    result = module.run(options)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(result.as_json(), indent=1) + "\n", encoding="utf-8")
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
    """What a figure is made of, for people; nothing where the bench did not look."""
    parts: Mapping[str, float] = line.detail.get("parts_ms", {})
    others: Mapping[str, float] = line.detail.get("by", {})
    width = max(map(len, (*parts, *others)), default=0)
    for label, ms in parts.items():
        yield f"  {label:<{width}} {ms:8.1f} ms"
    for label, value in others.items():
        yield f"  {label:<{width}} {value:8.3f} {line.unit}"
