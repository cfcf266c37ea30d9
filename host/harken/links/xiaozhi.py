"""Between xiaozhi's messages and what the session knows: events up, commands down, hello."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harken.errors import UnexpectedError
from harken.links import link as events
from harken.links.typed import plain_word
from harken.wire import xiaozhi as wire

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from harken.wire.binary import Version

__all__ = [
    "Agreement",
    "agree",
    "command_message",
    "greeting",
    "header_values",
    "uplink_event",
]

_RATES = (8_000, 12_000, 16_000, 24_000, 48_000)
_FRAMES_MS = (20, 40, 60, 80, 100, 120)
_OUR_FRAMES_MS = (20, 60)
_STOCK_DOWNLINK_RATE = 24_000
_VERSIONS: dict[int | str, Version] = {1: 1, 2: 2, 3: 3, "1": 1, "2": 2, "3": 3}


@dataclass(frozen=True, slots=True)
class Agreement:
    """What a device's hello and the gateway's answer make of a link.

    Attributes:
        hello: what the device said of itself, made sane.
        version: the framing of binary messages.
        harken: what the device offered of our additions and the gateway will use; `None` for
            a device that knows nothing of them.
    """

    hello: events.Hello
    version: Version
    harken: tuple[str, ...] | None


def agree(message: wire.HelloMessage, header_version: str) -> Agreement:
    """What to make of a device's hello.

    Values outside of what Opus or the protocol knows are replaced by the usual ones: a device
    that is sloppy about what it says of itself can be talked to all the same.

    Args:
        message: the hello.
        header_version: the `Protocol-Version` header of the handshake, empty where there is none.
    """
    audio = message.audio_params or wire.AudioParams()
    rate = audio.sample_rate if audio.sample_rate in _RATES else 16_000
    frame_ms = audio.frame_duration if audio.frame_duration in _FRAMES_MS else 60
    stock = message.features or {}
    features = {name for name in ("mcp", "aec") if stock.get(name) is True}
    version = _version(message.version, header_version)
    if message.harken is None:
        hello = events.Hello(rate, frame_ms, _STOCK_DOWNLINK_RATE, frame_ms, frozenset(features))
        return Agreement(hello, version, None)
    ours = wire.FEATURES.intersection(message.harken.features)
    frame_ms = next((ms for ms in _OUR_FRAMES_MS if ms in message.harken.frame_ms), frame_ms)
    hello = events.Hello(rate, frame_ms, rate, frame_ms, frozenset(features | ours))
    return Agreement(hello, version, tuple(sorted(ours)))


def greeting(agreement: Agreement, session_id: str, transport: str) -> wire.ServerHello:
    """The gateway's answer to a hello.

    Args:
        agreement: what was made of it.
        session_id: names the session to the device.
        transport: "websocket" or "udp".
    """
    hello = agreement.hello
    ours = agreement.harken
    return wire.ServerHello(
        session_id=session_id,
        audio_params=wire.FullAudioParams(hello.downlink_rate, hello.downlink_frame_ms),
        transport=transport,
        harken=None if ours is None else wire.ServerExtension(ours, hello.downlink_frame_ms),
    )


def uplink_event(  # noqa: PLR0911  one return a message
    message: wire.UpMessage, now: float, *, wake_words: Collection[str] | None
) -> events.Uplink | None:
    """A device's message as an event; `None` where it means nothing to a session.

    Args:
        message: decoded, and no hello.
        now: `time.monotonic()` when it arrived.
        wake_words: by `plain_words`. A `detect` with another text becomes `Text`, though it may
            be a wake word that nobody told of: see `harken.links.typed`. `None` takes every one
            for a wake word.

    Raises:
        UnexpectedError: a second hello, or one of our reports without what it is about.
    """
    match message:
        case wire.ListenMessage(state="start", mode=mode):
            return events.ListenStart(mode)
        case wire.ListenMessage(state="stop", harken=extension):
            return events.ListenStop(speech=extension is None or extension.speech)
        case wire.ListenMessage(text=text):
            word = plain_word(text)
            if wake_words is None or not word or word in wake_words:
                return events.Wake(text)
            return events.Text(text)
        case wire.AbortMessage(reason=reason):
            return events.Abort(reason or "")
        case wire.McpMessage(payload=payload):
            return events.ToolReply(payload)
        case wire.GoodbyeMessage():
            return events.Goodbye()
        case wire.Extension(kind="playout"):
            return events.Playout(
                message.played_ms, message.buffered_ms, message.late, message.ended
            )
        case wire.Extension():
            return events.Marks(message.now, message.samples, now)
        case wire.HelloMessage():
            raise UnexpectedError("a second hello")
        case _:
            return None


def command_message(  # noqa: PLR0911  one return a command
    command: events.Downlink, session_id: str
) -> wire.DownMessage:
    """A command as the message that carries it."""
    match command:
        case events.Transcript(text=text):
            return wire.SttMessage(session_id, text)
        case events.Emotion(emotion=emotion, text=text):
            return wire.LlmMessage(session_id, emotion, text)
        case events.SpeechStart():
            return wire.TtsMessage(session_id, "start")
        case events.Sentence(text=text):
            return wire.TtsMessage(session_id, "sentence_start", text)
        case events.SpeechStop(cancelled=cancelled):
            extension = wire.StopExtension(cancelled=True) if cancelled else None
            return wire.TtsMessage(session_id, "stop", None, extension)
        case events.ToolRequest(payload=payload):
            return wire.McpDownMessage(session_id, dict(payload))
        case events.Alert(status=status, message=message, emotion=emotion):
            return wire.AlertMessage(session_id, status, message, emotion)


def header_values(headers: Mapping[str, str], query: Mapping[str, str]) -> dict[str, str]:
    """The handshake's headers in lower case, with what browsers can only say in the query."""
    values = {name.lower(): value for name, value in headers.items()}
    for name in ("device-id", "client-id", "authorization", "protocol-version"):
        if not values.get(name) and name in query:
            values[name] = query[name]
    return values


def _version(said: int, header: str) -> Version:
    return _VERSIONS.get(said) or _VERSIONS.get(header) or 1
