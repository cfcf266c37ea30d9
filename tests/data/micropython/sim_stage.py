"""The device on a stage: its engine, link and board are played by hand. Runs in MicroPython."""

import asyncio
import json

from micropython import RingIO
from sim_parts import (
    PACKET,
    SPEECH,
    SPEECH_END,
    WAKE,
    SimEngine,
    SimHal,
    until,
)

from harken_device import app as application
from harken_device import conversation, protocol
from harken_device.config import Config
from harken_device.conversation import SPEAKING, THINKING
from harken_device.net.uplink import BYTES, Uplink

OURS = {
    "type": "hello",
    "transport": "websocket",
    "session_id": "s1",
    "harken": {"v": 1, "features": ["playout", "marks", "endpoint"], "frame_ms": 20},
}
STOCK = {"type": "hello", "transport": "websocket", "session_id": "s1"}


class SimLink:
    """A link that keeps what it is told."""

    def __init__(self):
        self.uplink = Uplink(RingIO(BYTES))
        self.up = False
        self.awake = False
        self.session_id = "s1"
        self.sent = []
        self.wanted = 0
        self.released = 0
        self.reports = 0

    def want(self):
        self.wanted += 1

    def release(self):
        self.released += 1

    def send(self, text, before_audio=False):
        self.sent.append(json.loads(text))

    def report_playout(self, played_ms, buffered_ms, late):
        self.reports += 1

    async def run(self):
        while True:
            await asyncio.sleep_ms(5)


class Stage:
    """The app among its doubles, with a clock that can be turned forward."""

    def __init__(self, hello=OURS, **settings):
        self.hal = SimHal()
        config = Config("no such file", lambda line: None)
        for name, value in settings.items():
            config.set(name, value)
        self.engine = SimEngine()
        application.Link = lambda *_: SimLink()
        self.app = application.App(self.hal, config, self.engine)
        self.link = self.app.link
        self.hello = protocol.ServerHello(hello)
        self.skipped_ms = 0
        real = conversation.left
        conversation.left = lambda deadline: real(deadline) - self.skipped_ms
        self.running = asyncio.create_task(self.app.run())

    def connect(self):
        self.link.up = True
        self.app.link_up(self.hello)

    def lose(self):
        self.link.up = False
        self.app.link_down()

    def order_of_ending(self):
        """From now on: "drop" where the answer is dropped, and the types of messages."""
        order = []
        self.engine.answer_drop = lambda: order.append("drop")
        send = self.link.send
        self.link.send = lambda text, first=False: (
            order.append(json.loads(text)["type"]),
            send(text, first),
        )
        return order

    async def hear(self, flags):
        await self.engine.hear(flags)

    async def press(self):
        self.hal.down = True
        await asyncio.sleep_ms(30)
        self.hal.down = False
        await asyncio.sleep_ms(30)

    async def pass_time(self, milliseconds):
        """Three looks of the control loop, or one state later, at a clock turned forward."""
        state = self.app.conversation.state
        self.skipped_ms = milliseconds
        for _ in range(15):
            await asyncio.sleep_ms(2)
            if self.app.conversation.state != state:
                break
        self.skipped_ms = 0

    async def reach(self, state):
        await until(lambda: self.app.conversation.state == state, "state %d" % state, 2000)

    async def thinking(self):
        await self.hear(WAKE)
        await self.hear(SPEECH | PACKET)
        await self.hear(SPEECH_END)
        await self.reach(THINKING)

    async def speaking(self):
        await self.thinking()
        self.tell("tts", state="start")
        await self.reach(SPEAKING)

    def tell(self, kind, **fields):
        fields["type"] = kind
        self.app.message(protocol.parse(json.dumps(fields)))

    def said(self, wanted, **fields):
        return [
            message
            for message in self.link.sent
            if message["type"] == wanted
            and all(message.get(name) == value for name, value in fields.items())
        ]

    def kinds(self):
        return [
            message["type"] + ":" + (message.get("state") or message.get("kind") or "")
            for message in self.link.sent
        ]
