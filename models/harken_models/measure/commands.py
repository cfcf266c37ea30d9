"""`harken models eval`: how well one model hears."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["evaluate_model"]

_OPTION = click.option  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
# Curves are for pictures and programs.
_NOT_FOR_PEOPLE = frozenset({"curve"})


@click.command("eval")
@click.argument("model")  # pyright: ignore[reportUnknownMemberType]
@_OPTION(
    "--out", type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the ROC picture, MODEL-roc.svg and .png.",
)  # fmt: skip
@_OPTION("--quick", is_flag=True, help="A small part of it, to see where one is.")
@_OPTION("--json", "as_json", is_flag=True, help="Print JSON for programs; no progress.")
def evaluate_model(*, model: str, out: Path | None, quick: bool, as_json: bool) -> None:
    """Measure MODEL: a .tflite with its ESPHome manifest, or the name of one, e.g. okay_nabu.

    Of a wake word: recall by voice and surroundings (synthetic voices that were held out), false
    accepts in hours of human speech and music. Of a voice activity model: area under the ROC
    curve in noise, music and rooms, and how late it hears speech end (human talkers, held out).
    """
    from harken_models.measure.needs import SCENES

    # Now, and not where these are imported, or after minutes of listening.
    (SCENES.adding("matplotlib") if out is not None else SCENES).check("`harken models eval`")

    from harken_models.measure.evaluate import evaluate, find_model
    from harken_models.train.progress import Progress

    path = find_model(model, Path(model))
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    found = evaluate(path, out, Progress(quiet=as_json), quick=quick)
    if as_json:
        click.echo(json.dumps(found))
        return
    for line in _lines(found):
        click.echo(line)


def _lines(values: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """Values as people read them, one a line."""
    for name, value in values.items():
        if name in _NOT_FOR_PEOPLE:
            continue
        if isinstance(value, dict):
            yield f"{indent}{name}:"
            yield from _lines(value, indent + "  ")  # pyright: ignore[reportUnknownArgumentType]
        elif isinstance(value, float):
            yield f"{indent}{name}: {value:.4g}"
        else:
            yield f"{indent}{name}: {value}"
