"""The xiaozhi protocol and Harken's additions, between bytes and values; no sockets.

`docs/reference/harken-extension.md` says what is added. Packing and unpacking audio allocates
nothing.
"""

import json
from struct import pack_into

from micropython import const

from harken_device.errors import ProtocolError

TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from typing import Any, AnyStr

    Message = dict[str, Any]

FEATURES = ("playout", "marks", "endpoint")
FRAME_LENGTHS_MS = (20, 60)
LARGEST_HEADER = const(16)

_LONGEST_TEXT = const(4096)
_RATES = (8000, 12_000, 16_000, 24_000, 48_000)
_STOCK_FRAME_MS = const(60)


class Framing:
    """Binary messages of one protocol version.

    Args:
        version: 1 bare Opus; 2 and 3 with a header of 16 and 4 bytes.

    Attributes:
        header: bytes before the payload.
        offset, length: where `unpack` found the payload.
        is_text: the payload is JSON, not Opus.

    Raises:
        ProtocolError: there is no such version.
    """

    def __init__(self, version: int) -> None:
        if version not in (1, 2, 3):
            raise ProtocolError("binary protocol version %r" % (version,))
        self.version = version
        self.header = (0, 16, 4)[version - 1]
        self.offset = 0
        self.length = 0
        self.is_text = False

    def pack(self, buffer: bytearray, start: int, length: int, timestamp_ms: int) -> int:
        """Write the header of an Opus payload at `buffer[start : start + length]` before it.

        Returns:
            Where the message starts: `start - self.header`.
        """
        at = start - self.header
        if self.version == 2:
            pack_into(">HHIII", buffer, at, 2, 0, 0, timestamp_ms, length)
        elif self.version == 3:
            pack_into(">BBH", buffer, at, 0, 0, length)
        return at

    def unpack(self, buffer: bytearray, length: int) -> None:
        """Find the payload of the message in `buffer[:length]`.

        Raises:
            ProtocolError: truncated, too long, or of another version.
        """
        self.offset = self.header
        self.length = length - self.header
        self.is_text = False
        if self.length < 0:
            raise ProtocolError("a binary message shorter than its header")
        if self.version == 1:
            return
        if self.version == 2:
            if buffer[0] or buffer[1] != 2:
                raise ProtocolError("a binary message of another version")
            kind = buffer[2] << 8 | buffer[3]
            said = buffer[14] << 8 | buffer[15] if not (buffer[12] or buffer[13]) else -1
        else:
            kind = buffer[0]
            said = buffer[2] << 8 | buffer[3]
        if said != self.length:
            raise ProtocolError("a binary message of another length than it says")
        if kind > 1:
            raise ProtocolError("a binary message of unknown kind")
        self.is_text = kind == 1


class PlayoutReport:
    """The playout message, written into one buffer again and again without allocation.

    Args:
        session_id: of the connection.
        headroom: bytes kept free before the text.

    Attributes:
        buffer: the message begins at `headroom`.
        length: bytes of it.
    """

    def __init__(self, session_id: str, headroom: int) -> None:
        # Numbers stand right-aligned among spaces, which JSON allows before a value.
        text = '{"type":"harken","kind":"playout","session_id":%s' % json.dumps(session_id)
        text += ',"played_ms":         0'
        self._played = headroom + len(text.encode())
        text += ',"buffered_ms":         0'
        self._buffered = headroom + len(text.encode())
        text += ',"late":         0'
        self._late = headroom + len(text.encode())
        text += ',"ended":false}'
        self._text = text.encode()
        self.length = len(self._text)
        self.buffer = bytearray(headroom) + self._text
        self._headroom = headroom

    def fill(self, played_ms: int, buffered_ms: int, late: int) -> None:
        """Write the numbers. The buffer is whole again, whatever masking did to it."""
        buffer, text, at = self.buffer, self._text, self._headroom
        for i in range(self.length):
            buffer[at + i] = text[i]
        self._digits(self._played, played_ms)
        self._digits(self._buffered, buffered_ms)
        self._digits(self._late, late)

    def _digits(self, end: int, value: int) -> None:
        value = min(max(value, 0), 999_999_999)
        while value:
            end -= 1
            self.buffer[end] = 48 + value % 10
            value //= 10


def hello(version: int, now: int) -> str:
    """What the device says first."""
    return json.dumps(
        {
            "type": "hello",
            "version": version,
            "features": {"mcp": True},
            "transport": "websocket",
            "audio_params": {
                "format": "opus",
                "sample_rate": 16_000,
                "channels": 1,
                "frame_duration": _STOCK_FRAME_MS,
            },
            "harken": {"v": 1, "features": FEATURES, "frame_ms": FRAME_LENGTHS_MS, "now": now},
        }
    )


def _message(session_id: str, kind: str, fields: "Message") -> str:
    out: Message = {"session_id": session_id, "type": kind}
    out.update(fields)
    return json.dumps(out)


def listen_start(session_id: str) -> str:
    """The microphone is open."""
    return _message(session_id, "listen", {"state": "start", "mode": "auto"})


def listen_stop(session_id: str, speech: "bool | None") -> str:
    """The user's turn is over; `speech` is None for a gateway that does not know our additions."""
    fields: Message = {"state": "stop"}
    if speech is not None:
        fields["harken"] = {"speech": speech}
    return _message(session_id, "listen", fields)


def listen_detect(session_id: str, word: str) -> str:
    """The wake word was heard."""
    return _message(session_id, "listen", {"state": "detect", "text": word})


def abort(session_id: str, reason: str) -> str:
    """The user interrupts."""
    return _message(session_id, "abort", {"reason": reason})


def mcp(session_id: str, payload: str) -> str:
    """A JSON-RPC message of our tools; `payload` is JSON already."""
    return '{"session_id":%s,"type":"mcp","payload":%s}' % (json.dumps(session_id), payload)


def marks(session_id: str, now: int, samples: "dict[str, int]") -> str:
    """Stages of the turn in the device's sample counter."""
    return _message(session_id, "harken", {"kind": "marks", "now": now, "samples": samples})


def playout(session_id: str, played_ms: int, buffered_ms: int, late: int, ended: bool) -> str:
    """What was really played, where the moment matters more than the memory."""
    fields: Message = {"played_ms": played_ms, "buffered_ms": buffered_ms, "late": late}
    fields.update({"kind": "playout", "ended": ended})
    return _message(session_id, "harken", fields)


# What a message must hold, by type: name, wanted type, required.
_FIELDS: "dict[str, tuple[tuple[str, type, bool], ...]]" = {
    "hello": (
        ("transport", str, True),
        ("session_id", str, False),
        ("audio_params", dict, False),
        ("harken", dict, False),
    ),
    "stt": (("text", str, True),),
    "llm": (("emotion", str, False), ("text", str, False)),
    "tts": (("state", str, True), ("text", str, False), ("harken", dict, False)),
    "mcp": (("payload", dict, True),),
    "system": (("command", str, True),),
    "alert": (("status", str, True), ("message", str, True), ("emotion", str, True)),
    "custom": (),
    "iot": (),
    "goodbye": (),
    "pong": (),
}


def parse(text: "AnyStr") -> "Message":
    """A message of the gateway, its fields of the right types.

    Raises:
        ProtocolError: not JSON, not an object, an unknown type, or a field missing or wrong.
    """
    try:
        message = json.loads(text)
    except (ValueError, RuntimeError):  # RuntimeError: nested too deeply
        raise ProtocolError("not JSON")
    if not isinstance(message, dict):
        raise ProtocolError("not an object")
    kind = message.get("type")
    if not isinstance(kind, str) or kind not in _FIELDS:
        raise ProtocolError("an unknown type")
    for name, wanted, required in _FIELDS[kind]:
        value = message.get(name)
        if value is None and not required:
            continue
        if not isinstance(value, wanted):
            raise ProtocolError("%s without a usable %s" % (kind, name))
        if isinstance(value, str) and len(value) > _LONGEST_TEXT:
            raise ProtocolError("%s with too long a %s" % (kind, name))
    return message


class ServerHello:
    """What the gateway agreed to.

    Args:
        message: a parsed hello.

    Attributes:
        session_id: to be sent with every message; may be empty.
        features: of our additions; empty for a gateway that does not know them.
        frame_ms: length of packets in both directions.
        harken: the gateway knows our additions.

    Raises:
        ProtocolError: it asks for what this device cannot do.
    """

    def __init__(self, message: "Message") -> None:
        if message["transport"] != "websocket":
            raise ProtocolError("a hello for another transport")
        audio = message.get("audio_params") or {}
        if audio.get("format", "opus") != "opus" or audio.get("sample_rate", 24_000) not in _RATES:
            raise ProtocolError("a hello with audio that is not Opus")
        if audio.get("channels", 1) != 1:
            raise ProtocolError("a hello with audio that is not mono")
        self.session_id = message.get("session_id") or ""
        ours = message.get("harken")
        self.harken = ours is not None and ours.get("v") == 1
        features = ours.get("features") if ours is not None and self.harken else None
        self.features = (
            [name for name in FEATURES if name in features] if isinstance(features, list) else []
        )
        frame_ms = ours.get("frame_ms") if ours is not None and self.harken else None
        self.frame_ms = _STOCK_FRAME_MS
        if type(frame_ms) is int and frame_ms in FRAME_LENGTHS_MS:
            self.frame_ms = frame_ms


def cancelled(message: "Message") -> bool:
    """A `tts stop` that says to drop what is buffered."""
    ours = message.get("harken")
    return isinstance(ours, dict) and ours.get("cancelled") is True
