"""Every error the device raises on purpose, in one tree.

DeviceError
├── ConfigError          a setting is unknown, of the wrong type or out of range
├── ModelError           a model's file is missing, damaged or none that this firmware runs
├── ProtocolError        what the other side sent does not follow the protocol
├── ToolError            a tool's name or arguments are wrong
└── NetError             the network or the other side failed; trying again may help
    ├── BootstrapError   the boot request was refused or its answer is unusable
    └── WebSocketError   the connection broke; `code` is the close code sent or received
"""


class DeviceError(Exception):
    """Anything the firmware can name as wrong."""


class ConfigError(DeviceError):
    """A setting is unknown, of the wrong type or out of range."""


class ModelError(DeviceError):
    """A model's file is missing, damaged or none that this firmware runs."""


class ProtocolError(DeviceError):
    """What the other side sent does not follow the protocol."""


class ToolError(DeviceError):
    """A tool's name or arguments are wrong."""


class NetError(DeviceError):
    """The network or the other side failed; trying again may help."""


class BootstrapError(NetError):
    """The boot request was refused or its answer is unusable."""


class WebSocketError(NetError):
    """The connection broke.

    Args:
        what: what went wrong, one sentence.
        code: the close code of RFC 6455 section 7.4.1; 1006 where none was exchanged.
    """

    def __init__(self, what: str, code: int = 1006) -> None:
        super().__init__(what)
        self.code = code


def printable(text: str, limit: int = 120) -> str:
    """Text from elsewhere, safe for a log line: no controls, bounded."""
    clean = "".join(char if " " <= char != "\x7f" else "?" for char in text[:limit])
    return clean if len(text) <= limit else clean[:-3] + "..."
