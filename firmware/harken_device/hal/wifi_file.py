"""`wifi.json` in flash: which network to join. Whoever writes it by hand may get it wrong."""

import json

from micropython import const

from harken_device.errors import ConfigError

_FILE = "wifi.json"
_LARGEST_FILE = const(1024)
_LONGEST_SSID = const(32)  # bytes, IEEE 802.11 section 9.4.2.2
_PASSWORD_BYTES = (8, 64)  # a passphrase of WPA2 or WPA3, or 64 hex digits of a key


def read(path: str = _FILE) -> "tuple[str, str]":
    """The network's name, and its password: "" for an open one.

    Raises:
        ConfigError: the file is missing or wrong. What it says never holds the password.
    """
    try:
        with open(path) as file:
            text = file.read(_LARGEST_FILE + 1)
    except OSError:
        raise ConfigError('no wifi.json in flash: write {"ssid": "...", "password": "..."}')
    except ValueError:
        text = ""  # not UTF-8
    return parse(text)


def parse(text: str) -> "tuple[str, str]":
    """Name and password out of what the file holds.

    Raises:
        ConfigError: as of `read`.
    """
    known = None
    if len(text) <= _LARGEST_FILE:
        try:
            known = json.loads(text)
        except (ValueError, RuntimeError):  # RuntimeError: nested too deeply
            pass
    if not isinstance(known, dict):
        raise ConfigError("wifi.json is no JSON object of at most %d bytes" % _LARGEST_FILE)
    ssid, password = known.get("ssid"), known.get("password", "")
    if not isinstance(ssid, str) or not 0 < len(ssid.encode()) <= _LONGEST_SSID:
        raise ConfigError("wifi.json needs `ssid`, a text of 1 to %d bytes" % _LONGEST_SSID)
    fewest, most = _PASSWORD_BYTES
    if not isinstance(password, str) or (password and not fewest <= len(password.encode()) <= most):
        raise ConfigError(
            "`password` in wifi.json is no text of %d to %d bytes; leave it out for an open network"
            % _PASSWORD_BYTES
        )
    return ssid, password
