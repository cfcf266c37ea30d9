"""The link when the board itself is set up wrongly. Runs in MicroPython."""

import asyncio

from sim_parts import SimEngine, SimHal, until

from harken_device.app import App
from harken_device.config import Config
from harken_device.conversation import CONNECTING
from harken_device.errors import ConfigError


class SimWrongWifi:
    """A radio that does not know a network until it is told one."""

    def __init__(self, error):
        self.error = error
        self.tries = 0
        self.joined = False

    def connect(self):
        self.tries += 1
        if self.error is not None:
            raise self.error
        self.joined = True

    def up(self):
        return self.joined

    def disconnect(self):
        pass


async def survives(error, said):
    hal = SimHal()
    hal.wifi = wifi = SimWrongWifi(error)
    config = Config("none.json", hal.log)
    config.set("websocket_url", "ws://127.0.0.1:1/")
    app = App(hal, config, SimEngine())
    running = asyncio.create_task(app.run())
    await until(lambda: wifi.tries >= 3, "three tries")
    lines = [line for line in hal.lines if line.startswith("link: ")]
    assert lines[0] == "link: " + said, lines
    # It waits longer from try to try, by what the back-off says, and does not spin.
    assert app.link.failures == wifi.tries < 10
    fed = hal.feeds
    await until(lambda: hal.feeds > fed, "the watchdog fed")
    # The button is alive, and hurries the next try.
    before = wifi.tries
    hal.down = True
    await until(lambda: app.conversation.state == CONNECTING, "connecting")
    hal.down = False
    await until(lambda: wifi.tries > before, "a try at once")
    # Set right, it joins and goes on to the gateway, which is not there.
    wifi.error = None
    await until(lambda: "nobody answers" in hal.lines[-1], "the gateway tried")
    assert not running.done() and hal.resets == 0


async def case_a_wrong_wifi_file_is_told_and_survived():
    said = "wifi.json needs `ssid`, a text of 1 to 32 bytes"
    await survives(ConfigError(said), said)


async def case_a_radio_that_refuses_is_told_and_survived():
    await survives(OSError("Wifi Internal State Error"), "Wifi Internal State Error")
