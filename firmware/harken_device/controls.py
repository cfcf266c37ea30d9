"""What the agent may read and set on this device; what it sets is kept in flash."""

import gc

from micropython import const

from harken_device import tools
from harken_device.errors import ConfigError

TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from board_face import Board

    from harken_device.audio.engine import Engine
    from harken_device.config import Config
    from harken_device.lights import Lights


class Controls:
    """The device's own tools.

    Args:
        hal: the board.
        config: keeps what is set.
        engine: has the volume.
        lights: have the colour.
        state: names the device's state and says whether the gateway is there.

    Attributes:
        server: answers the agent.
    """

    def __init__(
        self,
        hal: "Board",
        config: "Config",
        engine: "Engine",
        lights: "Lights",
        state: "Callable[[], tuple[str, bool]]",
    ) -> None:
        self._hal = hal
        self._config = config
        self._engine = engine
        self._lights = lights
        self._state = state
        self._unsaved = False
        self.server = tools.Server(
            tools.device_tools(self._status, self._set_volume, self._set_colour)
        )
        engine.volume = config.number("volume")

    def _status(self) -> "dict[str, Any]":
        state, connected = self._state()
        return {
            "audio_speaker": {"volume": self._engine.volume},
            "led": {"color": self._lights.colour},
            "network": {"type": "wifi", "connected": connected},
            "hearing": self._engine.hearing.state,
            "state": state,
            "memory_free": gc.mem_free(),
        }

    def _set_volume(self, volume: int) -> None:
        self._engine.volume = volume
        self._hal.mark("volume", self._engine.now, volume)
        self._keep("volume", volume)

    def _set_colour(self, red: int, green: int, blue: int) -> None:
        self._lights.choose((red, green, blue))
        self._keep("led", [red, green, blue])

    def _keep(self, name: str, value: object) -> None:
        try:
            self._unsaved = self._config.set(name, value) or self._unsaved
        except ConfigError as error:
            self._hal.log("controls: " + str(error))

    def save(self) -> None:
        """Write to flash what was set since the last time; a write may hold up the audio."""
        if not self._unsaved:
            return
        self._unsaved = False
        try:
            self._config.save()
        except OSError as error:
            self._hal.log("controls: cannot save settings: %s" % error)
