"""Sound for the audio's cases. Runs in MicroPython."""

import math
from array import array

from harken_opus import Encoder

BLOCK = 160


def tone(count, at=0, amplitude=8000):
    return array(
        "h", [int(amplitude * math.sin((at + i) * 2 * math.pi * 400 / 16000)) for i in range(count)]
    )


def loudness(block):
    values = array("h", bytes(block))
    return math.sqrt(sum(value * value for value in values) / len(values))


def packets(count, frame=320, amplitude=8000):
    encoder = Encoder(16000, 24000, 0)
    out = bytearray(400)
    made = []
    for i in range(count):
        length = encoder.encode(tone(frame, i * frame, amplitude), frame, out)
        made.append(bytearray(out[:length]))
    return made
