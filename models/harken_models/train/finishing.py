"""What every training command does around the training: the folder, Ctrl-C, and what it prints."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import rich_click as click

from harken.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["train_into"]


def train_into(out: Path, work: Path, make: Callable[[], list[Path]], *, as_json: bool) -> None:
    """Train, and print the files that were written, or as JSON what was measured as well.

    Args:
        out: folder of the files; is made if it is not there.
        work: folder of finished stages.
        make: trains, writes and returns the files, one of them NAME.results.json.
        as_json: print for a program.

    Raises:
        StartError: `out` cannot be written; and what `make` raises.
    """
    began = time.monotonic()
    try:
        out.mkdir(parents=True, exist_ok=True)
        paths = make()
    except OSError as error:
        raise StartError(
            f"{out} cannot be written ({error})", hint="free some space or name another folder"
        ) from error
    except KeyboardInterrupt:
        click.echo(f"interrupted: the same command goes on from {work}", err=True)
        raise
    if as_json:
        results = next(path for path in paths if path.name.endswith(".results.json"))
        measured = json.loads(results.read_bytes())
        click.echo(json.dumps({"files": [str(path) for path in paths], "results": measured}))
        return
    click.echo("\n".join(str(path) for path in paths))
    click.echo(f"{time.monotonic() - began:.0f} s; {work} may be removed", err=True)
