"""One spoken question through the real app, link and WebSocket; `sys.argv`: the boot address."""

import asyncio
import sys

from sim_parts import (
    DRAINED,
    HEARD,
    HOP,
    SPEECH,
    SPEECH_END,
    WAKE,
    SimEngine,
    SimHal,
    play,
    until,
)

from harken_device import app as application
from harken_device.app import App
from harken_device.config import Config


async def converse(app, engine, hal):
    await until(lambda: app.link.up, "link up")
    engine.coming.append(HOP | WAKE)
    await until(lambda: app.state == application.LISTENING, "listening")
    engine.coming.append(HOP | SPEECH)
    await play(engine.speak(20))
    engine.coming.append(HOP | SPEECH_END)
    await until(lambda: app.state == application.THINKING, "thinking")
    await until(lambda: app.state == application.SPEAKING, "speaking")
    await until(lambda: "end" in engine.did, "the whole answer")
    engine.coming.append(HOP | HEARD)
    engine.played_ms = 400
    engine.coming.append(HOP | DRAINED)
    await until(lambda: app.state == application.IDLE, "idle again")
    assert len(engine.packets) == 10, len(engine.packets)
    await until(lambda: app.link.uplink.waiting == 0, "all sent")
    await asyncio.sleep_ms(100)


async def main(path):
    hal = SimHal()
    config = Config(path, hal.log)
    engine = SimEngine()
    app = App(hal, config, engine)
    running = asyncio.create_task(app.run())
    await converse(app, engine, hal)
    running.cancel()
    import gc

    gc.collect()
    print("free", gc.mem_free())


asyncio.run(main(sys.argv[1]))
