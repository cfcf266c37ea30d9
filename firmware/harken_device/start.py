"""Boot: what the image's `main.py` calls."""

import asyncio
import sys


def main() -> None:
    """Start the firmware; returns only by a reset.

    Flash, with `board.json` and `config.json` in it, is the current directory.
    """
    from harken_device.hal import open_board

    hal = open_board()
    try:
        asyncio.run(_app(hal).run())
    except Exception as error:
        # Nothing below can go on. The log says why, and a fresh boot is the only way on.
        hal.log("start: " + repr(error))
        sys.print_exception(error)
    hal.reset()


def _app(hal):
    from harken_device.app import App
    from harken_device.audio.engine import Engine
    from harken_device.config import Config

    config = Config("config.json", hal.log)
    return App(hal, config, Engine(hal, config.text("wake_model")))
