"""The device's clock and the time of its packets, where they wrap. Runs in MicroPython."""

from array import array

from harken_opus import Encoder

from harken_device.audio import engine
from harken_device.audio.hearing import Hearing
from harken_device.audio.uplink import Uplink

BLOCK = 160
WRAP = 1 << 30


class SimRoom:
    """Microphone and loudspeaker of a board: noise as loud as `level`."""

    def __init__(self):
        self.mic = self.speaker = self
        self.level = 0
        self.seed = 1

    def poll(self, block):
        values = array("h", [0] * BLOCK)
        for i in range(BLOCK):
            self.seed = self.seed * 1103515245 + 12345 & 0x7FFFFFFF
            values[i] = (self.seed >> 16) % (2 * self.level + 1) - self.level
        block[:] = bytes(values)
        return True

    def write(self, block):
        pass


def tone():
    encoder, out = Encoder(16000, 24000, 0), bytearray(400)
    pcm = array("h", [8000 if i // 20 % 2 else -8000 for i in range(320)])
    return bytearray(out[: encoder.encode(pcm, 320, out)])


def a_turn(start):
    """Every sample count of a turn and an answer, after `start`."""
    room, packet = SimRoom(), tone()
    device = engine.Engine(room, Hearing(0), 400)
    device.now = start
    told = []
    device.listen(0)
    device.answer_begin()
    for n in range(150):
        room.level = 3000 if 10 <= n < 60 else 5
        device.answer_packet(packet, 0, len(packet))
        events = device.hop()
        told.append(("now", device.now))
        if events & engine.HEARD:
            told.append(("heard", device.heard_sample))
        if events & engine.SPEECH_END:
            told.append(("speech_end", device.speech_end_sample))
            told.append(("endpoint", device.endpoint_sample))
    assert all(0 <= count < WRAP for _, count in told)
    return [(kind, (count - start) % WRAP) for kind, count in told]


def case_the_clock_wraps_and_nothing_else_changes():
    expected = a_turn(0)
    assert {kind for kind, _ in expected} == {"now", "heard", "speech_end", "endpoint"}
    ends = {kind: count for kind, count in expected if kind != "now"}
    # Before the first block, within a block, between each two of the stages, and after a stage.
    for before in (0, 64, 160, ends["heard"], ends["speech_end"], ends["speech_end"] + 1600):
        assert a_turn((WRAP - before) % WRAP) == expected, before


def hear(uplink, blocks):
    for _ in range(blocks):
        uplink.put(bytes(2 * BLOCK))


def case_the_time_of_packets_wraps():
    uplink = Uplink()
    hear(uplink, 40)
    uplink._ms = WRAP - 40
    uplink.listen(0)
    stamps = []
    for _ in range(12):
        hear(uplink, 1)
        if uplink.step():
            stamps.append(uplink.packet_timestamp_ms)
    assert stamps == [WRAP - 40, WRAP - 20, 0, 20, 40, 60], stamps


def case_months_without_a_call_change_nothing():
    uplink = Uplink()
    hear(uplink, 5000)
    assert uplink._written < 100  # no count that grows for ever
    uplink.listen(160)
    assert uplink.step() and uplink.packet_timestamp_ms == 50_000 - 160
