"""Who this device is: its MAC address from the chip, its client id from flash."""

import os

_FILE = "client_id"


class Identity:
    """Identity of the device.

    Args:
        mac: six bytes.
    """

    def __init__(self, mac: bytes) -> None:
        self._mac = ":".join("%02x" % byte for byte in mac)
        self._client_id = ""

    def mac(self) -> str:
        """Lower case, with colons."""
        return self._mac

    def client_id(self) -> str:
        """A UUID version 4, made at first boot and kept in flash.

        Raises:
            OSError: flash cannot be written.
        """
        if not self._client_id:
            self._client_id = _stored() or _store(_uuid4())
        return self._client_id


def _stored() -> str:
    try:
        with open(_FILE) as file:
            text = file.read(36)
    except OSError:
        return ""
    return text if len(text) == 36 else ""


def _store(text: str) -> str:
    # Renamed into place: a power cut leaves no half an identity.
    with open(_FILE + ".new", "w") as file:
        file.write(text)
    os.rename(_FILE + ".new", _FILE)
    return text


def _uuid4() -> str:
    raw = bytearray(os.urandom(16))
    raw[6] = raw[6] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    text = "".join("%02x" % byte for byte in raw)
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
