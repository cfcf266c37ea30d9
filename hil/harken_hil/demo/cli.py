"""`harken demo`."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click
from rich_click import RichCommand

from harken.errors import ConfigError, printable

if TYPE_CHECKING:
    from rich.console import Console

    from harken_hil.demo.run import Run
    from harken_hil.demo.scenery import RoomName
    from harken_hil.demo.script import Interrupt

__all__ = ["demo"]

# Names alone: the modules that know them take a second to import.
_WAKE_WORDS = ("okay_nabu", "hey_jarvis", "hey_mycroft", "alexa")


@click.command(
    cls=RichCommand,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit status: 0 where every check came true; 1 where one did not, for example because"
    " the question was misheard: the report is there all the same, and says which. Others are of"
    " errors (docs/reference/cli.md).",
)
@click.option(
    "--wav", type=click.Path(path_type=Path), help="A recording of the question, at most 60 s."
)
@click.option("--say", metavar="TEXT", help="The question, said by a voice.")
@click.option(
    "--listen",
    type=click.Choice(["wake", "button"]),
    default="wake",
    show_default=True,
    help="How the device is called.",
)
@click.option(
    "--wake",
    type=click.Choice(_WAKE_WORDS),
    default=_WAKE_WORDS[0],
    show_default=True,
    help="The wake word.",
)
@click.option(
    "--interrupt",
    type=click.Choice(["call", "voice", "none"]),
    default="call",
    show_default=True,
    help="How a second turn interrupts the answer: the device is called again, or somebody just"
    " speaks over it.",
)
@click.option(
    "--room",
    type=click.Choice(["living", "reverberant"]),
    default="living",
    show_default=True,
    help="Where it plays: furnished, or large with bare walls.",
)
@click.option(
    "--loud", is_flag=True, help="The device hears itself louder than the talker, and distorts."
)
@click.option("--music", is_flag=True, help="Music plays in the room.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the report; runs/TIME unless given.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Take [agent] and [session] from this file; without it, no configuration of yours counts.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def demo(  # noqa: PLR0913  # one for each option
    wav: Path | None,
    say: str | None,
    listen: Literal["wake", "button"],
    wake: str,
    *,
    interrupt: Interrupt,
    room: RoomName,
    loud: bool,
    music: bool,
    out: Path | None,
    config: Path | None,
    as_json: bool,
) -> None:
    """Hear a simulated device ask and be answered.

    Starts a gateway, boots one simulated device in a simulated room, lets somebody call it and
    ask, then interrupt the answer with a command; leaves a report to open in a browser.
    """
    if wav is not None and say is not None:
        raise ConfigError("--wav and --say exclude each other", hint="give one of them")
    from rich.console import Console

    from harken_hil.demo.live import Live
    from harken_hil.demo.run import run
    from harken_hil.demo.scenery import Scenery
    from harken_hil.demo.script import Wanted, write_script
    from harken_hil.demo.settings import RigSettings

    settings = RigSettings.of(config)
    console = Console(stderr=as_json, quiet=as_json)
    script = write_script(Wanted(wav, say, listen, wake, interrupt, loud))
    scenery = Scenery(room, loud, music)
    folder = out or Path("runs") / f"{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"the folder {printable(str(folder))} cannot be made: {error.strerror}",
            hint="give another one with --out",
        ) from error
    result = asyncio.run(run(script, folder, Live(console), settings, scenery))
    if as_json:
        click.echo(json.dumps(result.as_json()))
    else:
        _conclude(console, result)
    sys.exit(0 if result.outcome.ok else 1)


def _conclude(console: Console, result: Run) -> None:
    from rich.text import Text

    console.print()
    for check in result.outcome.checks:
        mark = Text("✓ " if check.ok else "✗ ", style="bold green" if check.ok else "bold red")
        console.print(
            mark.append(f"{check.name:<12}", style="bold").append(check.detail, "default")
        )
    console.print(Text("\nReport: ").append(str(result.report.resolve()), "bold"), soft_wrap=True)
