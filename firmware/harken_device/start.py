"""Boot: what the image's `main.py` calls."""

import asyncio
import gc
import sys

from micropython import const

TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from board_face import Board

    from harken_device.app import App
    from harken_device.audio.hearing import Hearing
    from harken_device.audio.models import Weights
    from harken_device.config import Config

# A heap without room to spare is kept in order: what is thrown away is collected every so many
# bytes, so that what stays is not strewn over it. In a large one a collection takes long: seldom.
_SMALL_HEAP = const(1_000_000)
_TIDY_BYTES = const(4096)


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
    if gc.mem_free() < _SMALL_HEAP:
        gc.threshold(_TIDY_BYTES)
    # The largest pieces first, while the heap is whole; imports come between.
    from harken_device.config import Config

    config = Config("config.json", hal.log)
    from harken_device.audio.hearing import Hearing

    try:
        hearing = Hearing(_parts(config))
    except MemoryError:
        hal.log("start: no room for the cleaner: the microphone is sent as it is")
        hearing = Hearing(0)
    from harken_device.audio.engine import Engine

    engine = Engine(hal, hearing, config.number("endpoint_ms"))
    from harken_device.app import App

    app = App(hal, config, engine)
    # Last: a model that does not fit is left out.
    listen_for(hearing, config, hal.log)
    return app


def _parts(config: "Config") -> int:
    """Of the cleaner, those that the settings want."""
    from harken_device.audio import hearing

    parts = 0
    for name, part in (
        ("highpass", hearing.HIGHPASS),
        ("echo", hearing.ECHO),
        ("noise", hearing.NOISE),
        ("gain", hearing.GAIN),
    ):
        if config.flag(name):
            parts |= part
    return parts


def listen_for(
    hearing: "Hearing",
    config: "Config",
    log: "Callable[[str], None]",
    folders: "tuple[str, ...] | None" = None,
) -> None:
    """Load the models that the settings name; without one the device goes on, and the log says why.

    Args:
        hearing: gets them.
        config: names them.
        log: takes one line for each that cannot be used.
        folders: where they are looked for; None: ROM and flash.
    """
    from harken_device.audio.models import FOLDERS, load
    from harken_device.audio.wake import Words, wake_word
    from harken_device.errors import ModelError

    def loaded(name: str, make: "Callable[[Weights], Any]", manifest: bool = True) -> "Any":
        if not name:
            return None
        try:
            return make(load(name, folders or FOLDERS, manifest))
        except (ModelError, MemoryError) as error:
            log("start: %s" % (str(error) or repr(error)))
            return None

    words = [loaded(name, wake_word) for name in config.texts("wake_models")]
    stop = loaded(config.text("stop_model"), wake_word)
    words = [word for word in words if word is not None]
    hearing.words = Words(tuple(words), stop, hearing.cancels)
    hearing.use(
        loaded(config.text("vad_model"), lambda weights: weights.instance(), False),
        loaded(config.text("noise_model"), lambda weights: weights.instance(40), False),
    )
