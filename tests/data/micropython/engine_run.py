"""Runs the whole engine over a recording: `engine_run.py PCM MODELS NAME PARTS NOISE`.

Its heap is locked. While the microphone hears the recording, the loudspeaker plays an answer that
has gaps. Prints one JSON object. Runs in MicroPython.
"""

import gc
import json
import sys
from array import array

import micropython
from harken_opus import Encoder

from harken_device.audio import engine
from harken_device.audio.hearing import Hearing
from harken_device.config import Config
from harken_device.start import listen_for

PREROLL_MS = 160


class SimMic:
    def __init__(self, path):
        self.file = open(path, "rb")  # noqa: SIM115  # read until the program ends

    def poll(self, block):
        return self.file.readinto(block) == 320


class SimSpeaker:
    def __init__(self):
        self.blocks = 0

    def write(self, block):
        self.blocks += 1


class SimHal:
    def __init__(self, path):
        self.mic = SimMic(path)
        self.speaker = SimSpeaker()


class Notes:
    """What happened, written without allocating."""

    def __init__(self):
        self.kinds = bytearray(64)
        self.samples = array("I", bytes(4 * 64))
        self.count = 0
        self.sizes = bytearray(2048)
        self.stamps = array("I", bytes(4 * 2048))
        self.packets = 0

    def note(self, kind, sample):
        self.kinds[self.count] = kind
        self.samples[self.count] = sample
        self.count += 1


def answer():
    encoder, out = Encoder(16000, 24000, 0), bytearray(400)
    pcm = array("h", [8000 if i // 20 % 2 else -8000 for i in range(320)])
    return bytearray(out[: encoder.encode(pcm, 320, out)])


def feed(device, packet, hop):
    """An answer of ten seconds, a tenth of its packets late."""
    if hop == 0:
        device.answer_begin()
    elif hop == 1000:
        device.answer_end()
    elif hop < 1000 and hop % 2 == 0 and hop % 200 >= 20:
        device.answer_packet(packet, 0, len(packet))


def run(device, notes, packet):
    hops = 0
    while True:
        feed(device, packet, hops)
        events = device.hop()
        if not events:
            return hops
        hops += 1
        if events & engine.WAKE:
            notes.note(engine.WAKE, device.now)
            device.listen(PREROLL_MS)
        if events & engine.SPEECH:
            notes.note(engine.SPEECH, device.now)
        if events & engine.SPEECH_END:
            notes.note(engine.SPEECH_END, device.speech_end_sample)
            device.unlisten()
        if events & engine.HEARD:
            notes.note(engine.HEARD, device.heard_sample)
        if events & engine.DRAINED:
            notes.note(engine.DRAINED, device.now)
        if events & engine.PACKET:
            notes.sizes[notes.packets] = device.packet_length
            notes.stamps[notes.packets] = device.packet_timestamp_ms
            notes.packets += 1


def main(path, folder, name, parts, noise):
    hal = SimHal(path)
    config = Config("none", lambda line: None)
    config.set("wake_models", [name])
    config.set("stop_model", "")
    config.set("noise_model", noise)
    hearing = Hearing(int(parts))
    device = engine.Engine(hal, hearing, 500)
    lines = []
    listen_for(hearing, config, lines.append, (folder,))
    notes, packet = Notes(), answer()
    device.volume = 100
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    free = gc.mem_free()
    micropython.heap_lock()
    hops = run(device, notes, packet)
    micropython.heap_unlock()
    allocated = gc.mem_alloc() - before
    events = [[notes.kinds[i], notes.samples[i]] for i in range(notes.count)]
    print(
        json.dumps(
            {
                "hops": hops,
                "lines": lines,
                "free": free,
                "allocated": allocated,
                "events": events,
                "word": device.wake_word,
                "written": hal.speaker.blocks,
                "played_ms": device.played_ms,
                "late": device.late,
                "packets": [[notes.stamps[i], notes.sizes[i]] for i in range(notes.packets)],
            }
        )
    )


main(*sys.argv[1:])
