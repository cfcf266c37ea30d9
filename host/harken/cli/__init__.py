"""The command line: `harken COMMAND`.

Only the table below is read to print the help; a command's module is imported when it is called.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Final

import click
from rich_click import RichCommand, RichGroup

from harken import __version__
from harken.errors import HarkenError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["COMMANDS", "EXIT_STATUS", "cli", "exit_status", "main"]

COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "demo": ("harken_hil.demo.cli:demo", "Hear a simulated device ask and be answered."),
    "serve": ("harken.cli.serve:serve", "Run the gateway that devices connect to."),
    "config": ("harken.cli.config:config", "Show and check settings, and where they come from."),
    "models": ("harken_models.cli:models", "List, pull and verify models."),
    "bench": ("harken_hil.bench.cli:bench", "Measure a figure beside its rival and its floor."),
}
"""Command -> where it is ("module:attribute") and what it does."""

EXIT_STATUS: Final[dict[str, int]] = {
    # 2 is a wrong command line, as everywhere.
    "harken": 1,
    "config": 3,
    "start": 4,
    "model": 5,
    "agent": 6,
    "link": 7,
    "protocol": 8,
    "tool": 9,
    "audio": 10,
    "rig": 11,
}
"""Code of an error family -> exit status of the process."""


class _Commands(RichGroup):
    """Lists the commands of the table and imports the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        cmd_name: str,
    ) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        return RichCommand(name=cmd_name, help=COMMANDS[cmd_name][1])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, listed, rest = super().resolve_command(ctx, args)
        if name is None or listed is None:
            return name, listed, rest
        module, _, attribute = COMMANDS[name][0].partition(":")
        return name, getattr(importlib.import_module(module), attribute), rest


@click.command(
    cls=_Commands,
    help="Harken gives small devices a voice: the gateway, the rig, models and benchmarks.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="harken")
def cli() -> None:
    """The root of the command line."""


def exit_status(error: HarkenError) -> int:
    """The exit status of the nearest family of an error that has one."""
    for family in type(error).__mro__:
        status = EXIT_STATUS.get(str(family.__dict__.get("code", "")))
        if status is not None:
            return status
    return EXIT_STATUS["harken"]


def _report(error: HarkenError, *, as_json: bool) -> str:
    what = str(error.args[0]) if error.args else type(error).__name__
    if as_json:
        import json

        fields = {
            "code": error.code,
            "message": what,
            "hint": error.hint,
            "retryable": error.retryable,
        }
        return json.dumps({"error": fields})
    hint = f"; {error.hint}" if error.hint else ""
    return f"harken: {what}{hint} [{error.code}]"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and leave the process.

    An error of the project becomes one line on stderr, JSON where `--json` was given, and the
    exit status of its family.

    Args:
        arguments: the command line after the program's name; the process' own unless given.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        cli.main(given, prog_name="harken")
    except HarkenError as error:
        print(_report(error, as_json="--json" in given), file=sys.stderr)
        sys.exit(exit_status(error))
