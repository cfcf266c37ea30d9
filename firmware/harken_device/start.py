"""Boot: what the image's `main.py` calls."""

import asyncio
import sys

from micropython import const

TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from board_face import Board

    from harken_device.app import App
    from harken_device.audio.wake import WakeWord
    from harken_device.config import Config


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


def _app(hal: "Board") -> "App":
    from harken_device.app import App
    from harken_device.audio.engine import Engine
    from harken_device.config import Config

    config = Config("config.json", hal.log)
    return App(hal, config, Engine(hal, _words(hal, config), config.number("endpoint_ms")))


def _words(hal: "Board", config: "Config") -> "tuple[WakeWord, ...]":
    """The wake word of the settings; without its model the device still answers its button."""
    from harken_device.audio import wake

    name = config.text("wake_model")
    if not name:
        return ()
    try:
        return (wake.load(name),)
    except (OSError, ValueError) as error:
        hal.log("start: wake word %s cannot be used: %s" % (name, error))
        return ()
