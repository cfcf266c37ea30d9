"""`harken config`: what is set, and where it comes from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from rich_click import RichGroup

from harken.config import load
from harken.config.load import keys

__all__ = ["as_text", "config"]

_file_option = click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    help="Configuration file; else $HARKEN_CONFIG, else ~/.config/harken/harken.toml.",
)
_json_option = click.option("--json", "as_json", is_flag=True, help="For programs.")


def as_text(value: Any) -> str:
    """A value as a configuration file has it."""
    return json.dumps(value, ensure_ascii=False)


@click.group(cls=RichGroup, context_settings={"help_option_names": ["-h", "--help"]})
def config() -> None:
    """Show and check settings, and where they come from."""


@config.command()
@_file_option
@_json_option
@click.option("--origin", is_flag=True, help="Say where each value comes from.")
def show(file: Path | None, *, as_json: bool, origin: bool) -> None:
    """Print every setting; secrets are masked."""
    loaded = load(file=file)
    shown = {key.name: (loaded.shown(key), loaded.origins[key.name]) for key in keys().values()}
    if as_json:
        plain: dict[str, Any] = {
            name: {"value": value, "origin": source} if origin else value
            for name, (value, source) in shown.items()
        }
        click.echo(json.dumps(plain, indent=2))
        return
    lines = {name: f"{name} = {as_text(value)}" for name, (value, _) in shown.items()}
    width = min(56, max(map(len, lines.values())))
    for name, line in lines.items():
        click.echo(f"{line:<{width}}  # {shown[name][1]}" if origin else line)


@config.command()
@_file_option
@_json_option
def check(file: Path | None, *, as_json: bool) -> None:
    """Check every setting without starting anything."""
    from harken.config.check import check_server

    loaded = load(file=file)
    check_server(loaded.settings.server)
    changed = sum(origin != "default" for origin in loaded.origins.values())
    if as_json:
        click.echo(json.dumps({"ok": True, "file": str(loaded.file or ""), "changed": changed}))
    else:
        source = f"{loaded.file}" if loaded.file else "no file"
        click.echo(f"The configuration is right ({source}; {changed} settings not at default).")
