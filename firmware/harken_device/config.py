"""What the owner chose, kept as JSON in flash.

A file that is missing, cut off or wrong never keeps the device from booting: what is unusable
becomes its default, with a line in the log that names the setting and never its value.
"""

import json
import os

from micropython import const

from harken_device.errors import ConfigError

TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from collections.abc import Callable

_LARGEST_FILE = const(8192)
_LONGEST_URL = const(256)

# Name: default, which gives the type, and rule: for numbers the range; for text the longest, the
# choices, or how a URL may begin; for a colour the range of each part; for a list of texts how many
# at most, and the longest.
SETTINGS: "dict[str, tuple[object, object]]" = {
    # Where the gateway is. The boot request tells the WebSocket's address; the last one is kept.
    "ota_url": ("", ("http://", "https://")),
    "websocket_url": ("", ("ws://", "wss://")),
    "websocket_token": ("", 1024),
    "websocket_version": (1, (1, 3)),
    "connection": ("kept", ("kept", "per_conversation")),
    "tls_ca": ("", 128),  # a file in flash, DER or PEM
    "tls_verify": (True, None),
    "language": ("en-US", 16),
    # How a conversation goes.
    "listen": ("wake", ("wake", "button")),
    "follow_up": (False, None),
    "no_speech_ms": (6000, (1000, 60_000)),
    "longest_listen_ms": (30_000, (2000, 120_000)),
    # Pauses inside sentences that are read aloud last up to 320 ms.
    "endpoint_ms": (400, (200, 3000)),
    "preroll_ms": (160, (0, 300)),
    "barge_in": ("voice", ("voice", "wake")),
    # What is listened for, and with what: models of `models/NAME.hkm`.
    "wake_models": (["okay_nabu"], (2, 32)),
    "stop_model": ("", 32),
    "vad_model": ("vad", 32),
    # What is done to the microphone's sound.
    "echo": (True, None),
    "noise": (True, None),
    "noise_model": ("", 32),
    "gain": (True, None),
    "highpass": (True, None),
    "volume": (70, (0, 100)),
    "led": ([0, 0, 0], (0, 255)),
}


def _within(value: object, limits: "tuple[int, int]") -> bool:
    # A bool is refused: in JSON it is no number.
    return type(value) is int and limits[0] <= value <= limits[1]


def _text_fits(value: str, rule: object) -> bool:
    if isinstance(rule, int):
        return len(value) <= rule
    assert isinstance(rule, tuple)
    if not rule[0].endswith("://"):
        return value in rule
    return not value or (len(value) <= _LONGEST_URL and any(value.startswith(it) for it in rule))


def _texts_fit(value: object, most: int, longest: int) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= most
        and all(isinstance(text, str) and 0 < len(text) <= longest for text in value)
    )


def _fits(name: str, value: object) -> bool:
    default, rule = SETTINGS[name]
    if isinstance(default, str):
        return isinstance(value, str) and _text_fits(value, rule)
    if isinstance(default, bool):
        return isinstance(value, bool)
    assert isinstance(rule, tuple)
    if isinstance(default, list):
        if isinstance(default[0], str):
            return _texts_fit(value, rule[0], rule[1])
        return (
            isinstance(value, list)
            and len(value) == len(default)
            and all(_within(part, rule) for part in value)
        )
    return _within(value, rule)


def _take_older_names(found: "dict[str, object]") -> None:
    """What files of older firmware say, under its name of today."""
    if "wake_model" in found:
        name = found.pop("wake_model")
        found.setdefault("wake_models", [name] if name != "" else [])


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
        found = self._read(log)
        _take_older_names(found)
        for name, value in found.items():
            if name not in SETTINGS:
                # Kept in the file: another version of the firmware may know it.
                self._others[name] = value
                log("config: unknown setting " + repr(name)[:40])
            elif not _fits(name, value):
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

    def texts(self, name: str) -> "list[str]":
        """A setting that is a list of texts."""
        value = self._values[name]
        assert isinstance(value, list)
        return value

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
        if not _fits(name, value):
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
