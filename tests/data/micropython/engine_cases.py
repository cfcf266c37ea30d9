"""The engine, its loops and its memory. Runs in MicroPython."""

import gc

import micropython
from sounds import BLOCK, loudness, packets

from harken_device.audio import samples
from harken_device.audio.engine import Engine
from harken_device.audio.playout import Playout
from harken_device.audio.uplink import Uplink


class SimHearing:
    """Says that somebody breaks in at one block; keeps what the loudspeaker played at each."""

    delay_ms = 0

    def __init__(self, at):
        self.at = at
        self.n = 0
        self.loopback = []

    def step(self, mic, loudspeaker, playing, out):
        self.loopback.append(bytes(loudspeaker))
        self.n += 1
        return 256 if self.n == self.at else 0


class SimBoard:
    """A microphone in silence, and a loudspeaker that keeps what it plays."""

    def __init__(self):
        self.mic = self.speaker = self
        self.played = []

    def poll(self, block):
        return True

    def write(self, block):
        self.played.append(bytes(block))


def interrupted(interruptible):
    board, hearing = SimBoard(), SimHearing(30)
    device = Engine(board, hearing, 400)
    device.interruptible = interruptible
    device.answer_begin()
    for packet in packets(30):
        device.answer_packet(packet, 0, len(packet))
    for _ in range(40):
        device.hop()
    # What the canceller is given is what was written two blocks before.
    assert hearing.loopback[2:] == board.played[:-2]
    return [loudness(block) for block in board.played]


def case_an_answer_that_may_be_interrupted_is_silent_in_the_same_block():
    levels = interrupted(True)
    assert levels[28] > 1000 and max(levels[29:]) == 0, levels
    assert interrupted(False)[35] > 1000


def case_copy_and_silence():
    to = bytearray(10)
    samples.copy(to, 2, b"abcdef", 1, 3)
    assert bytes(to) == b"\0\0bcd\0\0\0\0\0"
    samples.silence(to, 5)
    assert bytes(to) == bytes(10)
    words = bytearray(16)
    samples.copy_words(words, 1, b"0123456789abcdef", 2, 2)
    assert bytes(words) == b"\0\0\0\x0089abcdef\0\0\0\0"


def case_playing_and_encoding_allocate_nothing():
    uplink, playout = Uplink(), Playout()
    made = packets(20)
    playout.begin()
    uplink.listen(0)
    out, mic = bytearray(2 * BLOCK), bytearray(2 * BLOCK)
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    micropython.heap_lock()
    for n in range(1000):
        if n % 2 == 0 and n % 100 < 90:  # with a gap now and then
            packet = made[n // 2 % 20]
            playout.packet(packet, 0, len(packet))
        playout.block(out)
        uplink.put(mic)
        uplink.step()
    micropython.heap_unlock()
    after = gc.mem_alloc()
    assert after - before == 0, after - before
    assert playout.played_ms > 8000 and playout.late > 10
    assert uplink.packet_timestamp_ms > 9000
