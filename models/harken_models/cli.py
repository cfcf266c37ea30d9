"""`harken models`: what is in the model store, and bringing more into it."""

from __future__ import annotations

import importlib
import json
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from harken.errors import ModelHashError, ModelMissingError
from harken_models.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from harken_models.manifest import Archive, Model

    Reporter = Callable[[Archive, int, int], None]

# rich_click leaves the parameter types of these two open.
_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")  # pyright: ignore[reportUnknownMemberType]
_names = click.argument("names", nargs=-1, metavar="[NAME]...")  # pyright: ignore[reportUnknownMemberType]

_tflite = click.argument("model", type=click.Path(path_type=Path), metavar="MODEL.tflite")  # pyright: ignore[reportUnknownMemberType]
_folder = click.argument(  # pyright: ignore[reportUnknownMemberType]
    "folder", type=click.Path(path_type=Path, file_okay=False), default="."
)


_ELSEWHERE = {
    "eval": "harken_models.measure.commands:evaluate_model",
    "train-noise": "harken_models.train.vad_commands:train_noise",
    "train-vad": "harken_models.train.vad_commands:train_vad",
    "train-wake": "harken_models.train.commands:train_wake",
}
"""Commands in modules of their own, imported when they are called or listed."""


class _Models(click.RichGroup):
    """The commands of this file and those elsewhere."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *_ELSEWHERE]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _ELSEWHERE:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = _ELSEWHERE[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command


@click.group(cls=_Models)
def models() -> None:
    """Pull, list, verify, pack and train the models that Harken runs."""


@models.command("list")
@_as_json
def list_models(as_json: bool) -> None:
    """Show every model: source, licence, size and whether it is in the store.

    With --json its files and their SHA-256 as well.
    """
    store = Store()
    rows = [_row(store, model) for model in store.manifest.models.values()]
    if as_json:
        click.echo(json.dumps({"store": str(store.root), "models": rows}, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    columns = ("model", "what it is", "source", "licence", "MB", "state")
    table = Table(*columns, title=str(store.root))
    for column in (0, 4, 5):
        table.columns[column].no_wrap = True
    for column in (1, 2):
        table.columns[column].overflow = "fold"  # a name cut short cannot be looked up
    for row in rows:
        size = f"{row['size'] / 1e6:.1f}"
        table.add_row(
            *(row[name] for name in ("name", "about", "source", "licence")), size, row["state"]
        )
    Console().print(table)


@models.command()
@_names
@_as_json
def pull(names: tuple[str, ...], as_json: bool) -> None:
    """Bring models into the store: all of them, or those named.

    What is there already costs a look; what was cut off goes on where it stopped.
    """
    store = Store()
    wanted = names or tuple(store.manifest.models)
    with _reporter(quiet=as_json) as report:
        pulled = store.pull(wanted, report)
    if as_json:
        rows = [_row(store, store.manifest.model(name)) for name in wanted]
        click.echo(
            json.dumps({"store": str(store.root), "pulled": pulled, "models": rows}, indent=2)
        )
        return
    click.echo(f"pulled {', '.join(pulled)}" if pulled else "everything is there")


@models.command()
@_names
@_as_json
def verify(names: tuple[str, ...], as_json: bool) -> None:
    """Rehash the files of every model, or of those named.

    Fails if a file differs from the manifest, or if a model is not there.
    """
    store = Store()
    states = {name: store.verify(name) for name in names or store.manifest.models}
    damaged = [name for name, state in states.items() if state == "damaged"]
    missing = [name for name, state in states.items() if state == "missing"]
    if as_json:
        click.echo(json.dumps({"store": str(store.root), "models": states}, indent=2))
    else:
        click.echo("\n".join(f"{name}: {state}" for name, state in states.items()))
    again = f"run `harken models pull {' '.join(damaged + missing)}`"
    if damaged:
        raise ModelHashError(f"damaged: {', '.join(damaged)}", hint=again)
    if missing:
        raise ModelMissingError(f"not in the store: {', '.join(missing)}", hint=again)


@models.command()
@_tflite
@_folder
def pack(model: Path, folder: Path) -> None:
    """Pack a microWakeWord v2 MODEL.tflite for the device's engine.

    Writes NAME.hkm, and beside it NAME.json, the model's own manifest, into FOLDER, which is made
    where it is missing.
    """
    from harken_models.pack import pack_file

    click.echo(str(pack_file(model, folder)))


def _row(store: Store, model: Model) -> dict[str, Any]:
    """A model as JSON."""
    archive = store.manifest.archive_of(model)
    return {
        "name": model.name,
        "task": model.task,
        "about": model.about,
        "licence": model.licence,
        "size": model.size,
        "source": archive.source,
        "sha256": {file.name: file.sha256 for file in model.files},
        "state": store.state(model),
    }


@contextmanager
def _reporter(*, quiet: bool) -> Generator[Reporter]:
    """Shows bytes as they come: a bar on a terminal, a line now and then elsewhere, on stderr."""
    if quiet:
        yield lambda _archive, _done, _size: None
    elif sys.stderr.isatty():
        with _bars() as report:
            yield report
    else:
        yield _lines()


@contextmanager
def _bars() -> Generator[Reporter]:
    """One bar an archive."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        tasks: dict[str, Any] = {}

        def report(archive: Archive, done: int, size: int) -> None:
            if archive.file not in tasks:
                tasks[archive.file] = progress.add_task(archive.package or archive.file, total=size)
            progress.update(tasks[archive.file], completed=done)

        yield report


def _lines() -> Reporter:
    """A line at the start of each archive, at every quarter, and at its end."""
    told: dict[str, int] = {}

    def report(archive: Archive, done: int, size: int) -> None:
        quarter = 4 * done // max(size, 1)
        if told.get(archive.file, -1) < quarter:
            told[archive.file] = quarter
            click.echo(f"{archive.source}: {done / 1e6:.1f} of {size / 1e6:.1f} MB", err=True)

    return report
