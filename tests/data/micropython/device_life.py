"""The app on its real link, living through steps. `sys.argv`: settings file, steps. In MicroPython.

up, down        wait for the link          wake, button     the user calls
say:COUNT       packets, then speech ends  packets:COUNT    packets alone
flood:COUNT     packets without pause      state:NAME       wait for a state
answer:COUNT    wait for so many packets of the answer, then let it drain
log:WORDS       wait for a line of the log clock:FACTOR     the link's clock runs faster
hurry:MS        no wait of the link is longer              pass:MS  let time pass
patience:MS     of the watchdog            wifi:off, wifi:on   in and out of reach
backoff:MS      what the link waits after a failure
"""

import asyncio
import sys

from sim_parts import DRAINED, HEARD, SPEECH, SPEECH_END, WAKE, SimEngine, SimHal, play, until

from harken_device import watchdog
from harken_device.app import App
from harken_device.config import Config
from harken_device.conversation import STATES
from harken_device.net import bootstrap, link
from harken_device.net.backoff import Backoff


def turn_clock(factor):
    real = link.ticks_diff
    link.ticks_diff = lambda later, earlier: real(later, earlier) * factor


def hurry(longest_ms):
    real = link.deadline_in
    link.deadline_in = bootstrap.deadline_in = lambda ms: real(min(ms, longest_ms))


def watch(patience_ms):
    """The watchdog is as impatient as this, and counts when it is not fed."""
    watchdog._LONGEST_STILL_MS = (1_000_000, patience_ms)  # this microphone hears nothing
    check = watchdog.Watchdog.check

    def counted(dog):
        if watchdog.Watchdog.stuck(dog) == watchdog.NETWORK:
            starved.append(1)
        return check(dog)

    watchdog.Watchdog.check = counted


starved = []


class Life:
    def __init__(self, path):
        self.hal = SimHal()
        self.engine = SimEngine()
        self.app = App(self.hal, Config(path, self.hal.log), self.engine)

    async def hear(self, flags):
        await self.engine.hear(flags)

    async def press(self):
        self.hal.down = True
        await asyncio.sleep_ms(30)
        self.hal.down = False

    async def say(self, count):
        await self.hear(SPEECH)
        await play(self.engine.speak(count))
        await self.hear(SPEECH_END)

    async def answered(self, count):
        await until(lambda: len(self.engine.given) >= count, "the answer")
        await until(lambda: self.engine.did[-1] == "end", "the end of the answer")
        await self.hear(HEARD)
        await self.hear(DRAINED)

    async def flood(self, count):
        for _ in self.engine.speak(count, 400):
            await asyncio.sleep_ms(0)

    async def reach(self, argument):
        self.hal.wifi.in_reach = argument == "on"

    async def back_off(self, milliseconds):
        self.app.link._backoff = Backoff(milliseconds, milliseconds)

    def step(self, what, argument):
        """What to await for one step."""
        app, lines = self.app, self.hal.lines
        return {
            "up": lambda: until(lambda: app.link.up, "link up", 15000),
            "down": lambda: until(lambda: not app.link.up, "link down", 15000),
            "wake": lambda: self.hear(WAKE),
            "button": self.press,
            "say": lambda: self.say(int(argument)),
            "packets": lambda: play(self.engine.speak(int(argument))),
            "flood": lambda: self.flood(int(argument)),
            "state": lambda: until(
                lambda: STATES[app.conversation.state] == argument, argument, 15000
            ),
            "answer": lambda: self.answered(int(argument)),
            "log": lambda: until(lambda: any(argument in one for one in lines), argument, 15000),
            "wifi": lambda: self.reach(argument),
            "backoff": lambda: self.back_off(int(argument)),
            "pass": lambda: asyncio.sleep_ms(int(argument)),
        }[what]()


async def main(path, steps):
    for one in steps:
        if one.startswith("clock:"):
            turn_clock(int(one[6:]))
        elif one.startswith("hurry:"):
            hurry(int(one[6:]))
        elif one.startswith("patience:"):
            watch(int(one[9:]))
    life = Life(path)
    running = asyncio.create_task(life.app.run())
    for one in steps:
        what, _, argument = one.partition(":")
        if what not in ("clock", "hurry", "patience"):
            if running.done():
                await running
            await life.step(what, argument)
    await asyncio.sleep_ms(50)
    print("starved", len(starved))
    print("unix", life.hal.unix)
    print("dropped", life.app.link.uplink.dropped)
    print("refused", life.app.link.refused, life.app.conversation.refused_audio)
    print("packets", [list(packet[:2]) for packet in life.engine.given][:3])


asyncio.run(main(sys.argv[1], sys.argv[2:]))
