"""The hardware, behind one face: no other part of the firmware imports `machine` or `network`.

`open_board()` gives an object with

    mic.poll(block) -> bool        10 ms (160 samples int16, 16 kHz) were ready and are in `block`;
                                   after False, come back with the same `block`
    speaker.write(block)           plays 160 samples, two blocks after the last microphone block
    wifi.connect() / up() / disconnect()     `connect` returns at once, or raises OSError, or
                                   ConfigError where it does not know a network; `up`: it worked
    leds.set(red, green, blue)     0..255 each
    button.pressed() -> bool
    slots.active() -> str          the firmware slot this code runs from
    slots.confirm()                this firmware works: the boot loader keeps it
    clock.set(unix_ms) / unix_ms() wall clock; 0 until it was set
    identity.mac() / client_id()   lower-case MAC with colons; a UUID made at first boot and kept
    watchdog.feed()                at least every few seconds, or the board resets
    mark(name, sample, value)      a stage for the rig; nothing on a board
    watched                        somebody reads the marks
    log(line)                      one line for whoever listens to the console
    name, version of the board     `name` is `firmware/boards/<name>.toml`
    off() / reset()                do not return
"""

import json
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from board_face import Board

_HALS = {"esp32": "esp32", "rp2": "rp2", "linux": "sim"}


def open_board() -> "Board":
    """The board this runs on, as its `board.json` in flash describes it.

    Raises:
        OSError: `board.json` is missing or a part does not answer.
        ValueError: `board.json` is not JSON, or asks for what this port does not have.
    """
    with open("board.json") as file:
        description = json.load(file)
    port = _HALS.get(sys.platform)
    if port is None:
        raise ValueError("no HAL for " + sys.platform)
    module = __import__("harken_device.hal." + port, None, None, ("Board",))
    board: Board = module.Board(description)
    return board
