"""What boards with I2S, Wi-Fi and pins have in common, by whatever chip.

Not exercised by any test: there is no such silicon there. It is checked against the type stubs
of both ports.
"""

import time

import machine
import micropython
import network
from micropython import const

from harken_device.hal import wifi_file
from harken_device.hal.clock import Clock
from harken_device.hal.identity import Identity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from _mpy_shed._mpy_builtins import ptr16, ptr32

_RATE = const(16_000)
_BLOCK = const(160)
_IN_BYTES = const(640)
_RING_BYTES = const(8 * 640)
_OUTPUT_DELAY_BLOCKS = const(2)
_STABLE_MS = const(30)
_WATCHDOG_MS = const(8000)  # RP2 chips cannot wait longer than 8,388 ms


@micropython.viper
def _narrow(block: ptr16, raw: ptr32, count: int, shift: int):  # type: ignore[no-untyped-def]
    """`count` samples of 32 bits to 16: shifted right, and cut off at full scale."""
    for i in range(count):
        value = int(raw[i]) >> shift
        if value > 32767:
            value = 32767
        elif value < -32768:
            value = -32768
        block[i] = value


class Mic:
    """An I2S microphone that gives 32 bits a sample. Reads in the background.

    Args:
        pins: `[mic]` of the board file.
    """

    def __init__(self, pins: "dict[str, Any]") -> None:
        self._shift = 16 - pins["gain_shift"]
        self._raw = bytearray(_IN_BYTES)
        self._full = False
        self._i2s = machine.I2S(
            pins["bus"],
            sck=machine.Pin(pins["sck"]),
            ws=machine.Pin(pins["ws"]),
            sd=machine.Pin(pins["sd"]),
            mode=machine.I2S.RX,
            bits=32,
            format=machine.I2S.MONO,
            rate=_RATE,
            ibuf=_RING_BYTES,
        )
        self._i2s.irq(self._filled)
        self._i2s.readinto(self._raw)

    def _filled(self, _: object) -> None:
        self._full = True

    def poll(self, block: "bytearray | memoryview") -> bool:
        """True where 160 samples were ready and are now in `block`. Allocates nothing."""
        if not self._full:
            return False
        _narrow(block, self._raw, _BLOCK, self._shift)
        self._full = False
        self._i2s.readinto(self._raw)
        return True


class Speaker:
    """An I2S amplifier. Microphone and loudspeaker run off one clock, so its ring stays level.

    Args:
        pins: `[speaker]` of the board file.
    """

    def __init__(self, pins: "dict[str, Any]") -> None:
        self._i2s = machine.I2S(
            pins["bus"],
            sck=machine.Pin(pins["sck"]),
            ws=machine.Pin(pins["ws"]),
            sd=machine.Pin(pins["sd"]),
            mode=machine.I2S.TX,
            bits=16,
            format=machine.I2S.MONO,
            rate=_RATE,
            ibuf=_RING_BYTES,
        )
        for _ in range(_OUTPUT_DELAY_BLOCKS):
            self._i2s.write(bytearray(2 * _BLOCK))

    def write(self, block: bytearray) -> None:
        """Queue 160 samples; they are heard two blocks later. Allocates nothing."""
        self._i2s.write(block)


class Wifi:
    """The station interface. The network's name and password lie in flash, in `wifi.json`."""

    def __init__(self) -> None:
        self._station = network.WLAN(network.WLAN.IF_STA)

    def connect(self) -> None:
        """Begin to join the network.

        Raises:
            ConfigError: `wifi.json` is missing or wrong.
            OSError: the radio refuses.
        """
        ssid, password = wifi_file.read()
        self._station.active(True)
        # Sleeping between beacons would add 100 ms and more to every packet.
        self._station.config(pm=network.WLAN.PM_NONE)
        if not self._station.isconnected():
            self._station.connect(ssid, password)

    def up(self) -> bool:
        """Whether the network was joined and gave us an address."""
        return bool(self._station.isconnected())

    def disconnect(self) -> None:
        """Leave the network and switch the radio off."""
        self._station.disconnect()
        self._station.active(False)

    def mac(self) -> bytes:
        """Six bytes."""
        address = self._station.config("mac")
        assert isinstance(address, bytes)
        return address


class PixelLeds:
    """One addressable LED.

    Args:
        pin: its data pin.
    """

    def __init__(self, pin: int) -> None:
        import neopixel

        self._pixel = neopixel.NeoPixel(machine.Pin(pin), 1)

    def set(self, red: int, green: int, blue: int) -> None:
        """Show a colour, 0..255 each."""
        self._pixel[0] = (red, green, blue)
        self._pixel.write()


class OnboardLed:
    """One LED that is on or off: on for any colour but black.

    Args:
        pin: its name or number.
    """

    def __init__(self, pin: "str | int") -> None:
        self._pin = machine.Pin(pin, machine.Pin.OUT)

    def set(self, red: int, green: int, blue: int) -> None:
        """Show whether there is any colour at all."""
        self._pin.value(1 if red or green or blue else 0)


class Button:
    """A button that pulls its pin to ground, its bouncing contact waited out.

    Args:
        pin: its number.
    """

    def __init__(self, pin: int) -> None:
        self._pin = machine.Pin(pin, machine.Pin.IN, machine.Pin.PULL_UP)
        self._down = False
        self._changed_at = time.ticks_ms()

    def pressed(self) -> bool:
        """Whether it is held; a change counts once it has lasted."""
        now = time.ticks_ms()
        if (self._pin.value() == 0) == self._down:
            self._changed_at = now
        elif time.ticks_diff(now, self._changed_at) >= _STABLE_MS:
            self._down = not self._down
        return self._down


class Watchdog:
    """The chip's own, armed by the first feed: a board at its prompt is not reset."""

    def __init__(self) -> None:
        self._dog: machine.WDT | None = None

    def feed(self) -> None:
        """Put the reset off."""
        if self._dog is None:
            self._dog = machine.WDT(timeout=_WATCHDOG_MS)
        self._dog.feed()


class ChipBoard:
    """A board as its `board.json` describes it; what differs by chip is in the classes below it.

    Args:
        description: `board.json`.
    """

    def __init__(self, description: "dict[str, Any]") -> None:
        self.name: str = description["board"]
        self.watched = False
        leds = description["leds"]
        self.leds = (
            PixelLeds(leds["pin"]) if leds["kind"] == "neopixel" else OnboardLed(leds["pin"])
        )
        self.button = Button(description["button"]["pin"])
        self.wifi = Wifi()
        self.identity = Identity(self.wifi.mac())
        self.clock = Clock()
        self.watchdog = Watchdog()
        self.speaker = Speaker(description["speaker"])
        self.mic = Mic(description["mic"])

    def mark(self, name: str, sample: int, value: object = None) -> None:
        """Nobody listens for stages on a board."""

    def log(self, line: str) -> None:
        """One line to the console."""
        print(line)

    def off(self) -> None:
        """Sleep until the reset button."""
        self.leds.set(0, 0, 0)
        machine.deepsleep()

    def reset(self) -> None:
        """Boot anew."""
        machine.reset()
