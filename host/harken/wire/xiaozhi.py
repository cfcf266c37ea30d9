"""The JSON messages of the xiaozhi protocol, with Harken's additions under `harken`.

Everything a device may send is lenient where devices in the field are sloppy (missing session,
missing audio parameters, unknown extra keys) and strict where a wrong value would do harm.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from harken.errors import MalformedError, ProtocolError, UnexpectedError, printable

__all__ = [
    "FEATURES",
    "MAX_MESSAGE",
    "AbortMessage",
    "AlertMessage",
    "AudioParams",
    "DownMessage",
    "Extension",
    "FullAudioParams",
    "GoodbyeMessage",
    "HelloMessage",
    "IotMessage",
    "ListenMessage",
    "LlmMessage",
    "McpDownMessage",
    "McpMessage",
    "PingMessage",
    "PongMessage",
    "ServerExtension",
    "ServerHello",
    "StopExtension",
    "SttMessage",
    "TtsMessage",
    "UpMessage",
    "decode",
    "encode",
]

MAX_MESSAGE = 32_768
"""The longest JSON message taken, in bytes: a page of tools is cut at 8,000."""

FEATURES = frozenset({"playout", "marks", "endpoint"})
"""What Harken adds, by the names that `harken.features` carries."""

_Count = Annotated[int, Meta(ge=0, le=2**53)]
_Text = Annotated[str, Meta(max_length=4_000)]
_Word = Annotated[str, Meta(max_length=64)]
_Object = dict[str, Any]


class AudioParams(Struct, frozen=True):
    """What kind of Opus one side sends."""

    format: _Word = "opus"
    sample_rate: _Count = 16_000
    channels: _Count = 1
    frame_duration: _Count = 60


class _Offer(Struct, frozen=True):
    """The `harken` key of a device's hello."""

    v: _Count = 1
    features: Annotated[tuple[_Word, ...], Meta(max_length=32)] = ()
    frame_ms: Annotated[tuple[_Count, ...], Meta(max_length=16)] = ()
    now: _Count = 0


class HelloMessage(Struct, frozen=True, tag="hello"):
    """The device says what it is."""

    version: _Count = 0
    transport: _Word = "websocket"
    features: Annotated[_Object, Meta(max_length=64)] | None = None
    audio_params: AudioParams | None = None
    harken: _Offer | None = None


class _ListenExtension(Struct, frozen=True):
    speech: bool = True


class ListenMessage(Struct, frozen=True, tag="listen"):
    """The microphone opens or closes, or the wake word was heard (`detect`)."""

    state: Literal["start", "stop", "detect"]
    mode: Literal["auto", "manual", "realtime"] = "auto"
    text: _Text = ""
    harken: _ListenExtension | None = None


class AbortMessage(Struct, frozen=True, tag="abort"):
    """The user interrupts the answer."""

    reason: _Text | None = None


class McpMessage(Struct, frozen=True, tag="mcp"):
    """A JSON-RPC message of the device's MCP server."""

    payload: _Object


class GoodbyeMessage(Struct, frozen=True, tag="goodbye"):
    """The device ends the conversation."""


class PingMessage(Struct, frozen=True, tag="ping"):
    """The device asks whether anybody is there."""


class IotMessage(Struct, frozen=True, tag="iot"):
    """The predecessor of MCP; taken and ignored."""


class Extension(Struct, frozen=True, tag="harken"):
    """Harken's own reports: `playout` or `marks`."""

    kind: Literal["playout", "marks"]
    played_ms: _Count = 0
    buffered_ms: _Count = 0
    late: _Count = 0
    ended: bool = False
    now: _Count = 0
    samples: Annotated[dict[_Word, _Count], Meta(max_length=16)] = {}


UpMessage = (
    HelloMessage
    | ListenMessage
    | AbortMessage
    | McpMessage
    | GoodbyeMessage
    | PingMessage
    | IotMessage
    | Extension
)


class ServerExtension(Struct, frozen=True):
    """The `harken` key of the gateway's hello."""

    features: tuple[str, ...]
    frame_ms: int
    v: int = 1


class FullAudioParams(Struct, frozen=True):
    """`AudioParams` with every key spelt out: some clients fail where one is missing."""

    sample_rate: int
    frame_duration: int
    format: str = "opus"
    channels: int = 1


class ServerHello(Struct, frozen=True, tag="hello", omit_defaults=True):
    """The gateway's answer to hello."""

    session_id: str
    audio_params: FullAudioParams
    transport: str
    harken: ServerExtension | None = None


class SttMessage(Struct, frozen=True, tag="stt"):
    """What the user was heard to say."""

    session_id: str
    text: str


class LlmMessage(Struct, frozen=True, tag="llm"):
    """A face to make."""

    session_id: str
    emotion: str
    text: str


class StopExtension(Struct, frozen=True):
    """The `harken` key of `tts stop`."""

    cancelled: bool


class TtsMessage(Struct, frozen=True, tag="tts", omit_defaults=True):
    """The answer starts, goes on with a sentence, or stops."""

    session_id: str
    state: Literal["start", "sentence_start", "stop"]
    text: str | None = None
    harken: StopExtension | None = None


class McpDownMessage(Struct, frozen=True, tag="mcp"):
    """A JSON-RPC message for the device's MCP server."""

    session_id: str
    payload: _Object


class AlertMessage(Struct, frozen=True, tag="alert"):
    """Something the user should know; boards want all three."""

    session_id: str
    status: str
    message: str
    emotion: str


class PongMessage(Struct, frozen=True, tag="pong"):
    """The answer to `ping`."""

    session_id: str


DownMessage = (
    ServerHello | SttMessage | LlmMessage | TtsMessage | McpDownMessage | AlertMessage | PongMessage
)


class _Envelope(Struct, frozen=True):
    type: str


_up: msgspec.json.Decoder[UpMessage] = msgspec.json.Decoder(UpMessage)
_envelope = msgspec.json.Decoder(_Envelope)
_down = msgspec.json.Encoder()
_KNOWN = frozenset(
    {"hello", "listen", "abort", "mcp", "goodbye", "ping", "iot", "harken"},
)


def decode(text: bytes) -> UpMessage:
    """A device's message.

    Raises:
        MalformedError: too long, not JSON, or a known message with a wrong field.
        UnexpectedError: of a type that devices do not send.
    """
    if len(text) > MAX_MESSAGE:
        raise MalformedError(f"a message of {len(text)} bytes, more than {MAX_MESSAGE}")
    try:
        return _up.decode(text)
    except msgspec.ValidationError as error:
        raise _refusal(text, error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedError(f"not JSON: {printable(str(error))}") from None


def encode(message: DownMessage) -> bytes:
    """A message for the device, as UTF-8 JSON."""
    return _down.encode(message)


def _refusal(text: bytes, error: msgspec.ValidationError) -> ProtocolError:
    try:
        kind = _envelope.decode(text).type
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return MalformedError("a message without a type")
    if kind in _KNOWN:
        return MalformedError(f"a wrong {kind} message: {printable(str(error))}")
    return UnexpectedError(f"a message of unknown type {printable(kind, 40)!r}")
