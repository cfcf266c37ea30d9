"""The firmware's audio engine, one block for each line; runs in MicroPython (`ears.py` beside it).

A line in: flags, the microphone's block and packets of the answer in hexadecimal, separated by
blanks. The line out: the engine's events, the last word, the block that is written to the
loudspeaker. The first line in is the configuration, in JSON, with the models' folder.
"""

import binascii
import json
import sys

from micropython import const

TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from typing import Any

    from harken_device.audio.engine import Engine

_BEGIN = const(1)
_END = const(2)
_INTERRUPTIBLE = const(4)
_DROP = const(8)
_LISTEN = const(16)

_PREROLL_MS = const(300)


class SimMic:
    """Hears the block that was given last, once."""

    def __init__(self) -> None:
        self.given = b""

    def poll(self, block: bytearray) -> bool:
        """Whether there is a block; it is in `block` then."""
        if not self.given:
            return False
        block[:] = self.given
        self.given = b""
        return True


class SimSpeaker:
    """Keeps the block that was written last."""

    def __init__(self) -> None:
        self.block = b""

    def write(self, block: bytearray) -> None:
        """Take one block."""
        self.block = bytes(block)


class SimHal:
    """Ears and mouth alone."""

    def __init__(self) -> None:
        self.mic = SimMic()
        self.speaker = SimSpeaker()


def _obey(device: "Engine", flags: int, packets: "list[str]") -> None:
    if flags & _DROP:
        device.answer_drop()
    if flags & _BEGIN:
        device.answer_begin()
    for packet in packets:
        content = bytearray(binascii.unhexlify(packet))
        device.answer_packet(content, 0, len(content))
    if flags & _END:
        device.answer_end()
    if flags & _LISTEN:
        device.listen(_PREROLL_MS)
    device.interruptible = flags & _INTERRUPTIBLE != 0


def main() -> None:
    """Answer one line after the other until there are no more."""
    from harken_device.audio.engine import Engine
    from harken_device.audio.hearing import Hearing
    from harken_device.config import Config
    from harken_device.start import _parts, listen_for

    lines: list[str] = []
    config = Config("none", lines.append)
    wanted = json.loads(sys.stdin.readline())
    for name, value in wanted["config"].items():
        config.set(name, value)
    hal: Any = SimHal()
    hearing = Hearing(_parts(config))
    device = Engine(hal, hearing, config.number("endpoint_ms"))
    device.volume = config.number("volume")
    del lines[:]
    listen_for(hearing, config, lines.append, (wanted["models"],))
    print(json.dumps(lines))
    while True:
        line = sys.stdin.readline().split()
        if not line:
            return
        _obey(device, int(line[0]), line[2:])
        hal.mic.given = binascii.unhexlify(line[1])
        events = device.hop()
        block = binascii.hexlify(hal.speaker.block).decode()
        state = json.dumps(hearing.state) if device.now % 16000 == 0 else "{}"
        print(events, device.wake_word, block, state, sep="\t")


main()
