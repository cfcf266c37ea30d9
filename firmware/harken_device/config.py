"""What the owner chose, kept as JSON in flash.

A file that is missing, cut off or wrong never keeps the device from booting: what is unusable
becomes its default, with a line in the log that names the setting and never its value.
"""

import json
import os

from harken_device.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Setting = tuple[object, Callable[[object], bool]]

_LARGEST_FILE = 8192


def _text(longest: int) -> "Callable[[object], bool]":
    return lambda value: isinstance(value, str) and len(value) <= longest


def _whole(low: int, high: int) -> "Callable[[object], bool]":
    # In MicroPython, unlike CPython, a bool is no int.
    return lambda value: type(value) is int and low <= value <= high


def _one_of(*choices: object) -> "Callable[[object], bool]":
    return lambda value: value in choices and type(value) in [type(choice) for choice in choices]


def _url(schemes: "tuple[str, ...]") -> "Callable[[object], bool]":
    def check(value: object) -> bool:
        if not isinstance(value, str) or len(value) > 256:
            return False
        return value == "" or any(value.startswith(scheme) for scheme in schemes)

    return check


def _colour(value: object) -> bool:
    if not isinstance(value, list) or len(value) != 3:
        return False
    return all(type(part) is int and 0 <= part <= 255 for part in value)


SETTINGS: "dict[str, Setting]" = {
    # Where the gateway is. The boot request tells the WebSocket's address; the last one is kept.
    "ota_url": ("", _url(("http://", "https://"))),
    "websocket_url": ("", _url(("ws://", "wss://"))),
    "websocket_token": ("", _text(1024)),
    "websocket_version": (1, _one_of(1, 2, 3)),
    "connection": ("kept", _one_of("kept", "per_conversation")),
    "tls_ca": ("", _text(64)),  # a file in flash, DER or PEM
    "tls_verify": (True, _one_of(True, False)),
    "language": ("en-US", _text(16)),
    # How a conversation goes.
    "listen": ("wake", _one_of("wake", "button")),
    "follow_up": (False, _one_of(True, False)),
    "no_speech_ms": (6000, _whole(1000, 60_000)),
    "longest_listen_ms": (30_000, _whole(2000, 120_000)),
    "endpoint_ms": (500, _whole(200, 3000)),
    "preroll_ms": (160, _whole(0, 500)),
    "wake_model": ("okay_nabu", _text(32)),
    "volume": (70, _whole(0, 100)),
    "led": ([0, 0, 0], _colour),
}


class Config:
    """Settings by name, each valid.

    Args:
        path: the JSON file, an object of `SETTINGS`' names.
        log: takes one line.
    """

    def __init__(self, path: str, log: "Callable[[str], None]") -> None:
        self._path = path
        self._values = {name: setting[0] for name, setting in SETTINGS.items()}
        self._others: dict[str, object] = {}
        for name, value in self._read(log).items():
            if name not in SETTINGS:
                # Kept in the file: another version of the firmware may know it.
                self._others[name] = value
                log("config: unknown setting " + repr(name)[:40])
            elif not SETTINGS[name][1](value):
                log("config: bad value of " + name + ", using the default")
            else:
                self._values[name] = value

    def _read(self, log: "Callable[[str], None]") -> "dict[str, object]":
        try:
            with open(self._path) as file:
                text = file.read(_LARGEST_FILE + 1)
        except OSError:
            log("config: no " + self._path + ", using defaults")
            return {}
        except ValueError:
            text = ""  # not UTF-8
        found = None
        if len(text) <= _LARGEST_FILE:
            try:
                found = json.loads(text)
            except (ValueError, RuntimeError):  # RuntimeError: nested too deeply
                pass
        if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
            log("config: " + self._path + " is corrupt, using defaults")
            return {}
        return found

    def text(self, name: str) -> str:
        """A setting that is text."""
        return str(self._values[name])

    def number(self, name: str) -> int:
        """A setting that is a whole number."""
        value = self._values[name]
        assert isinstance(value, int)
        return value

    def flag(self, name: str) -> bool:
        """A setting that is on or off."""
        return self._values[name] is True

    def colour(self, name: str) -> "tuple[int, int, int]":
        """A setting that is a colour: red, green, blue, 0..255 each."""
        value = self._values[name]
        assert isinstance(value, list)
        return (value[0], value[1], value[2])

    def set(self, name: str, value: object) -> bool:
        """Change a setting in memory; True where it was another before.

        Raises:
            ConfigError: there is no such setting, or it cannot have this value.
        """
        if name not in SETTINGS:
            raise ConfigError("no setting " + repr(name)[:40])
        if not SETTINGS[name][1](value):
            raise ConfigError("bad value of " + name)
        changed = self._values[name] != value
        self._values[name] = value
        return changed

    def save(self) -> None:
        """Write what differs from the defaults; a power cut leaves the old file or the new one.

        Raises:
            OSError: flash cannot be written.
        """
        changed = [name for name in SETTINGS if self._values[name] != SETTINGS[name][0]]
        out = dict(self._others)
        out.update({name: self._values[name] for name in changed})
        fresh = self._path + ".new"
        with open(fresh, "w") as file:
            json.dump(out, file)
        os.rename(fresh, self._path)
