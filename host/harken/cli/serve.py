"""`harken serve`: the gateway as a daemon."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from rich_click import RichCommand

from harken.config import load
from harken.config.load import keys

if TYPE_CHECKING:
    from harken.config import Loaded, Settings
    from harken.daemon import Addresses

__all__ = ["serve"]

_LEAVE_S: Final = 4.5
"""A native call that nothing can interrupt (a model at work) must not hold up the exit."""


@click.command(cls=RichCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    help="Configuration file; else $HARKEN_CONFIG, else ~/.config/harken/harken.toml.",
)
@click.option("--host", help="Address to listen on.")
@click.option("--http-port", type=int, help="Port for HTTP; 0 takes any free one.")
@click.option("--websocket-port", type=int, help="Port for devices; 0 takes any free one.")
@click.option("--turns", help="File that gets a JSON line, with transcript, of each turn.")
@click.option("--log-level", help="debug, info, warning or error.")
@click.option("--json", "as_json", is_flag=True, help="Say where it listens in JSON.")
def serve(
    file: Path | None,
    *,
    host: str | None,
    http_port: int | None,
    websocket_port: int | None,
    turns: str | None,
    log_level: str | None,
    as_json: bool,
) -> None:
    """Run the gateway that devices connect to, until it is told to leave."""
    flags = {
        "--host": ("server.host", host),
        "--http-port": ("server.http_port", http_port),
        "--websocket-port": ("server.websocket_port", websocket_port),
        "--turns": ("log.turns", turns),
        "--log-level": ("log.level", log_level),
    }
    loaded = load(file=file, flags=flags)

    from harken import log

    log.setup(loaded.settings.log, _secrets(loaded))

    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_until_told(loaded.settings, as_json=as_json))


def _secrets(loaded: Loaded) -> list[str]:
    found: list[str] = []
    for key in keys().values():
        if key.secret:
            value: Any = loaded.value(key.name)
            found += [value] if isinstance(value, str) else list(value)
    return found


async def _until_told(settings: Settings, *, as_json: bool) -> None:
    from harken.daemon import Gateway

    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, told.set)
    async with Gateway(settings) as gateway:
        _announce(gateway.addresses, as_json=as_json)
        await told.wait()
        _leave_in_time()


def _announce(addresses: Addresses, *, as_json: bool) -> None:
    if as_json:
        ready = {
            "event": "ready",
            "http": addresses.http,
            "websocket": addresses.websocket,
            "pid": os.getpid(),
        }
        print(json.dumps(ready), flush=True)
        return
    print(f"Devices boot from  {addresses.http}/xiaozhi/ota/")
    print(f"and connect to     {addresses.websocket}")
    print("Ctrl-C leaves.", flush=True)


def _leave_in_time() -> None:
    def leave() -> None:
        print("harken: still busy, leaving all the same", file=sys.stderr, flush=True)
        os._exit(0)

    last_resort = threading.Timer(_LEAVE_S, leave)
    last_resort.daemon = True
    last_resort.start()
