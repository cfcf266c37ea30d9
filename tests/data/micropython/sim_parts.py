"""A board and an audio engine that a test script plays by hand. Runs in MicroPython."""

import asyncio
from time import ticks_diff, ticks_ms

from micropython import RingIO

HOP, WAKE, SPEECH, SPEECH_END, PACKET, HEARD, DRAINED = (1, 2, 4, 8, 16, 32, 64)
STOP, BARGE_IN = (128, 256)


class SimWifi:
    def __init__(self):
        self.joined = False
        self.in_reach = True

    def connect(self):
        self.joined = True

    def up(self):
        return self.joined and self.in_reach

    def disconnect(self):
        self.joined = False


class SimHal:
    """Everything that the app asks of a board; what it is told is kept."""

    name = "sim"
    version = "1"
    watched = True

    def __init__(self):
        self.wifi = SimWifi()
        self.leds = self.button = self.slots = self.clock = self.identity = self.watchdog = self
        self.lines = []
        self.marks = []
        self.colours = []
        self.down = False
        self.unix = 0
        self.confirmed = False
        self.feeds = 0
        self.resets = 0

    def mac(self):
        return "02:00:00:00:00:01"

    def client_id(self):
        return "1b4e28ba-2fa1-41d2-883f-0016d3cca427"

    def active(self):
        return "a"

    def confirm(self):
        self.confirmed = True

    def set(self, *value):
        if len(value) == 1:
            self.unix = value[0]
        else:
            self.colours.append(value)

    def pressed(self):
        return self.down

    def feed(self):
        self.feeds += 1

    def mark(self, name, sample, value=None):
        self.marks.append((name, value))
        print("mark", name, sample, value)

    def log(self, line):
        self.lines.append(line)
        print("log", line)

    def reset(self):
        self.resets += 1


class SimHearing:
    state = {"erle_db": 21, "delay_ms": 30, "converged": True}  # noqa: RUF012  # MicroPython


class SimEngine:
    """Reports what the script puts into `coming`, one entry a hop."""

    def __init__(self):
        self.now = 0
        self.wake_word = "okay_nabu"
        self.coming = []
        self.packet = bytearray(1275)
        self.packet_length = 0
        self.packet_timestamp_ms = 0
        self.speech_end_sample = 0
        self.endpoint_sample = 0
        self.heard_sample = 0
        self.played_ms = 0
        self.buffered_ms = 0
        self.late = 0
        self.volume = 0
        self.frame_ms = 0
        self.did = []
        self.packets = RingIO(7200)
        self.given = []
        self.listening = False
        self.hearing = SimHearing()
        self.interruptible = False
        self.preroll = (0, 0)

    async def hear(self, flags):
        """Report `flags` in the next hop, and let whoever was told act."""
        self.coming.append(HOP | flags)
        await until(lambda: not self.coming, "the hop taken")
        await asyncio.sleep_ms(2)

    def hop(self):
        if not self.coming:
            return 0
        self.now += 160
        flags = self.coming.pop(0)
        if flags & SPEECH_END:
            self.speech_end_sample = self.now - 3200
            self.endpoint_sample = self.now
        if flags & HEARD:
            self.heard_sample = self.now
        return flags

    def speak(self, count, length=60, first=0):
        """`count` packets of the microphone, each told apart by its first byte."""
        for i in range(count):
            while self.coming:
                yield
            self.packet[0] = first + i & 255
            for j in range(1, length):
                self.packet[j] = i + j & 255
            self.packet_length = length
            self.packet_timestamp_ms = i * 20
            self.coming.append(HOP | PACKET)
            yield

    def configure(self, frame_ms):
        self.frame_ms = frame_ms

    def listen(self, preroll_ms, voiced_blocks=0):
        self.did.append("listen")
        self.preroll = (preroll_ms, voiced_blocks)
        self.listening = True

    def unlisten(self):
        self.did.append("unlisten")
        self.listening = False

    def answer_begin(self):
        self.did.append("begin")
        self.given = []

    def answer_packet(self, buffer, offset, length):
        self.given.append(bytes(buffer[offset : offset + length]))
        self.buffered_ms += 20
        return True

    def answer_end(self):
        self.did.append("end")

    def answer_drop(self):
        self.did.append("drop")
        self.buffered_ms = 0


async def until(condition, what, within_ms=8000):
    """Wait for a condition, or fail."""
    began = ticks_ms()
    while not condition():
        if ticks_diff(ticks_ms(), began) > within_ms:
            raise AssertionError("never: " + what)
        await asyncio.sleep_ms(2)


async def play(turns):
    """Give each step of a generator its hop."""
    for _ in turns:
        await asyncio.sleep_ms(1)
