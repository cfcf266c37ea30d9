"""What every dialect offers the session: one live connection of a device.

Everything a device says is an `Uplink` event, everything it is told a `Downlink` command; audio
goes beside them. A dialect that has no word for a command ignores it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

ListenMode = Literal["auto", "manual", "realtime"]


@dataclass(frozen=True, slots=True)
class Hello:
    """What the device said of itself when it connected.

    Attributes:
        uplink_rate: samples a second of the audio it sends.
        uplink_frame_ms: length of one packet it sends.
        downlink_rate: rate at which it wants to decode.
        downlink_frame_ms: length of the packets it wants.
        features: what it can do: "mcp", "aec", and for our own firmware "playout" (it reports
            what it has played), "marks" (it stamps stages of a turn), "endpoint" (it ends the
            user's turn by itself).
    """

    uplink_rate: int = 16_000
    uplink_frame_ms: int = 60
    downlink_rate: int = 24_000
    downlink_frame_ms: int = 60
    features: frozenset[str] = frozenset()


class AudioFrame(msgspec.Struct, frozen=True, gc=False):
    """One Opus packet from the device; a struct of C, since there are thousands a second.

    Attributes:
        packet: Opus, mono.
        sequence: counts packets of this link from 0, gaps where some were lost on the way.
        timestamp_ms: the device's own, 0 where the dialect has none.
        received_at: `time.monotonic()` when its bytes arrived.
    """

    packet: bytes
    sequence: int
    timestamp_ms: int
    received_at: float


@dataclass(frozen=True, slots=True)
class Wake:
    """The wake word was heard."""

    word: str


@dataclass(frozen=True, slots=True)
class ListenStart:
    """The microphone is open: audio of a new turn follows."""

    mode: ListenMode


@dataclass(frozen=True, slots=True)
class ListenStop:
    """The user's turn is over; `speech` is False where the device heard none in it."""

    speech: bool = True


@dataclass(frozen=True, slots=True)
class Text:
    """The user typed instead of speaking."""

    text: str


@dataclass(frozen=True, slots=True)
class Abort:
    """The user interrupts the answer."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Playout:
    """How much of the current answer the device has really played.

    Attributes:
        played_ms: since the answer's `SpeechStart`.
        buffered_ms: received and not yet played.
        late: frames that the device had to conceal since `SpeechStart`, for want of a packet that
            was there in time and could be decoded; a packet that comes afterwards is still played.
        ended: nothing is left to play.
    """

    played_ms: int
    buffered_ms: int
    late: int = 0
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Marks:
    """Stages of a turn in the device's own sample counter (16,000 a second).

    Attributes:
        now: the counter when the message was sent, to join the two clocks.
        samples: stage name -> counter.
        received_at: `time.monotonic()` at the gateway.
    """

    now: int
    samples: Mapping[str, int]
    received_at: float


@dataclass(frozen=True, slots=True)
class ToolReply:
    """A JSON-RPC message from the device's MCP server."""

    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The device ends the conversation."""


Uplink = Wake | ListenStart | ListenStop | Text | Abort | Playout | Marks | ToolReply | Goodbye


@dataclass(frozen=True, slots=True)
class Transcript:
    """What the user was heard to say."""

    text: str


@dataclass(frozen=True, slots=True)
class Emotion:
    """A face for the device to make."""

    emotion: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class SpeechStart:
    """An answer begins; its audio follows."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """The words that the audio now following speaks."""

    text: str


@dataclass(frozen=True, slots=True)
class SpeechStop:
    """The answer is over. Where `cancelled`, what is still buffered must not be played."""

    cancelled: bool = False


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """A JSON-RPC message for the device's MCP server."""

    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Alert:
    """Something the user should know."""

    status: str
    message: str
    emotion: str = "neutral"


Downlink = Transcript | Emotion | SpeechStart | Sentence | SpeechStop | ToolRequest | Alert


@dataclass(slots=True)
class LinkCounters:
    """What happened on a link that nobody raised an error for.

    Attributes:
        frames_up, frames_down: audio packets that went through.
        dropped_up: audio from the device thrown away because the session did not take it in time
            (the oldest goes first).
        dropped_down: audio not sent because the device does not read.
        refused: messages that were malformed, unknown or out of order, by reason.
    """

    frames_up: int = 0
    frames_down: int = 0
    dropped_up: int = 0
    dropped_down: int = 0
    refused: dict[str, int] = field(default_factory=dict[str, int])


class Receiver(Protocol):
    """Takes what a device sends the moment it arrives, in the order it was sent.

    Its methods run in the loop's own call stack, once per message, and must return at once.
    """

    def on_frame(self, frame: AudioFrame) -> None:
        """Audio from the device."""
        ...

    def on_event(self, event: Uplink) -> None:
        """Anything else from the device."""
        ...

    def on_closed(self, reason: str) -> None:
        """The link is closed, and nothing more comes; called once."""
        ...


class Link(Protocol):
    """One live connection of a device, whatever its dialect.

    What comes up is taken either by a `Receiver`, which spares a queue and a task wake-up per
    frame and keeps audio and events in order, or by the two iterators.

    Queues are bounded: audio up holds two seconds and drops the oldest; events up hold 64, and a
    device that exceeds that is cut off; what is sent down waits in a bounded buffer, and a device
    that does not read for ten seconds is cut off.
    """

    @property
    def identity(self) -> str:
        """The device's identity, e.g. its MAC address in lower case; safe to log."""
        ...

    @property
    def session_id(self) -> str:
        """Names the session to the device."""
        ...

    @property
    def hello(self) -> Hello:
        """What the device said of itself."""
        ...

    @property
    def counters(self) -> LinkCounters:
        """What happened on this link so far."""
        ...

    def attach(self, receiver: Receiver) -> None:
        """Hand everything to `receiver` from now on, what is queued first; once, for good."""
        ...

    def frames(self) -> AsyncIterator[AudioFrame]:
        """Audio from the device until the link closes. One consumer."""
        ...

    def events(self) -> AsyncIterator[Uplink]:
        """Events from the device until the link closes. One consumer."""
        ...

    def send_audio(self, packet: bytes, timestamp_ms: int) -> None:
        """Queue one Opus packet for the device.

        Raises:
            LinkClosedError: the link is closed.
        """
        ...

    def send(self, command: Downlink) -> None:
        """Queue a command for the device, in order with the audio.

        Raises:
            LinkClosedError: the link is closed.
        """
        ...

    async def close(self, reason: str = "") -> None:
        """Close the link; safe to call twice. `frames` and `events` then end."""
        ...
