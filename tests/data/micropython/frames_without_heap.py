"""Counts what the heap gains while audio goes up and comes down; `sys.argv[1]`: settings file.

Between two readings of the allocated bytes, with the collector off, hundreds of packets go from
`engine.hop` through queue, framing, masking and socket to the gateway, and hundreds come back to
`engine.answer_packet`.
"""

import asyncio
import gc
import sys
from time import ticks_diff, ticks_ms

from sim_parts import DRAINED, HOP, PACKET, SPEECH, SPEECH_END, SimEngine, SimHal, until

from harken_device.app import App
from harken_device.config import Config
from harken_device.conversation import IDLE, LISTENING, SPEAKING

FIRST, LAST = 50, 450  # packets between which is measured


class QuietEngine(SimEngine):
    """Allocates nothing itself."""

    def __init__(self):
        super().__init__()
        self.talking = False
        self.spoken = 0
        self.taken = 0
        self.once = 0
        self.last = ticks_ms()
        self.up = [0, 0]
        self.down = [0, 0]
        self.packet_length = 200

    def hop(self):
        now = ticks_ms()
        if ticks_diff(now, self.last) < 2:
            return 0
        self.last = now
        self.now += 160
        flags, self.once = self.once, 0
        if self.talking:
            self.spoken += 1
            if self.spoken == FIRST:
                self.up[0] = gc.mem_alloc()
            elif self.spoken == LAST:
                self.up[1] = gc.mem_alloc()
            flags |= PACKET
        self.played_ms += 10
        return flags | HOP

    def answer_packet(self, buffer, offset, length):
        if buffer[offset] != length & 255:
            raise ValueError("not the packet that was sent")
        self.taken += 1
        if self.taken == FIRST:
            self.down[0] = gc.mem_alloc()
        elif self.taken == LAST:
            self.down[1] = gc.mem_alloc()
        return True


async def main(path):
    hal = SimHal()
    hal.watched = False  # nobody is told once a second how well it hears
    engine = QuietEngine()
    app = App(hal, Config(path, hal.log), engine)
    running = asyncio.create_task(app.run())
    await until(lambda: app.link.up, "link up")
    hal.down = True
    await until(lambda: app.conversation.state == LISTENING, "listening")
    hal.down = False
    engine.once = SPEECH
    gc.collect()
    gc.disable()
    engine.talking = True
    await asyncio.sleep_ms(0)
    while engine.spoken < LAST + 10:
        await asyncio.sleep_ms(20)
    engine.talking = False
    engine.once = SPEECH_END
    while app.conversation.state != SPEAKING:
        await asyncio.sleep_ms(5)
    while not engine.did or engine.did[-1] != "end":
        await asyncio.sleep_ms(20)
    engine.once = DRAINED
    await until(lambda: app.conversation.state == IDLE, "idle")
    gc.enable()
    assert not running.done()
    print("dropped", app.link.uplink.dropped, "refused", app.conversation.refused_audio)
    print("up", engine.up[1] - engine.up[0], "down", engine.down[1] - engine.down[0])


asyncio.run(main(sys.argv[1]))
