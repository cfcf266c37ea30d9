"""What every agent offers the session: it hears audio and answers with audio.

All times are `time.monotonic()` seconds of this process; audio is mono int16, little endian.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

Endpoint = Literal["agent", "client"]
"""Who ends the user's turn: the agent by listening, or the client by `Agent.commit`."""


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """Something the agent may call.

    Attributes:
        name: unique in a session.
        description: for the model.
        parameters: JSON schema of its arguments, an object.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """What an agent must know of the session it serves.

    Attributes:
        instructions: the persona.
        language: BCP 47 tag of what the user speaks.
        tools: what it may call.
    """

    instructions: str = ""
    language: str = "en"
    tools: tuple[ToolSpec, ...] = ()


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The user began to speak (only where the agent listens for it)."""

    at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The user's turn is over. `speech_end_ms_ago`: how long before `at` speech really ended."""

    speech_end_ms_ago: int = 0
    at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class UserTranscript:
    """What the user said; `final` once it will not change. Empty where no speech was found."""

    text: str
    final: bool = True
    at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class AnswerStage:
    """A stage of the answer was reached: `llm_first` or `tts_first`."""

    stage: Literal["llm_first", "tts_first"]
    at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class AnswerText:
    """Words that the audio following this event speaks."""

    text: str
    at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class AnswerAudio:
    """A piece of the answer: int16 little endian mono at `rate`."""

    pcm: bytes
    rate: int
    at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The agent wants a tool; answer with `Agent.tool_result`."""

    call_id: str
    name: str
    arguments: Mapping[str, Any]
    at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class AnswerDone:
    """The answer is complete."""

    text: str = ""
    at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class AnswerCancelled:
    """The answer was interrupted; nothing more of it comes."""

    at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class AgentFailed:
    """This turn failed; the agent is ready for the next one unless `fatal`."""

    code: str
    message: str
    hint: str = ""
    fatal: bool = False
    at: float = field(default_factory=time.monotonic)


AgentEvent = (
    SpeechStarted
    | SpeechStopped
    | UserTranscript
    | AnswerStage
    | AnswerText
    | AnswerAudio
    | ToolCall
    | AnswerDone
    | AnswerCancelled
    | AgentFailed
)


class Agent(Protocol):
    """Listens and answers, one turn at a time.

    A turn: `listen`, then `feed` the user's audio; the turn ends by `commit` or, with endpoint
    "agent", by itself; then come `UserTranscript`, any `ToolCall`s, `AnswerStage`s, `AnswerText`
    and `AnswerAudio`, and exactly one of `AnswerDone`, `AnswerCancelled` and `AgentFailed`.
    With endpoint "agent", what is fed after that is the next turn, also without `listen`.
    Every call but `start` returns at once; work goes on in tasks that the agent owns.
    """

    @property
    def input_rate(self) -> int:
        """Samples a second that `feed` wants."""
        ...

    async def start(self, config: AgentConfig) -> None:
        """Get ready for a session.

        Raises:
            AgentError: what it needs cannot be had; the hint says what to do.
        """
        ...

    def listen(self, endpoint: Endpoint) -> None:
        """The microphone opens: forget what was fed, and let `endpoint` end what comes now.

        Before the first call the client ends turns. An answer that is being given goes on.

        Raises:
            AgentError: it cannot hear the end of a turn; the hint says what is missing. It goes on
                as it was, and can be asked to listen with the other endpoint.
        """
        ...

    def feed(self, pcm: bytes) -> None:
        """Audio of the user: int16 little endian mono at `input_rate`, any length."""
        ...

    def commit(self) -> None:
        """The user's turn is over, whoever was to end it: answer what was fed.

        Does nothing where the agent has ended a turn of this listening by itself and heard no
        speech since: who says so only did not know of it yet.
        """
        ...

    def clear(self) -> None:
        """Forget what was fed since the last turn."""
        ...

    def say(self, text: str) -> None:
        """A turn typed by the user instead of spoken: answer this text."""
        ...

    def events(self) -> AsyncIterator[AgentEvent]:
        """Everything that happens, until `close`. One consumer."""
        ...

    def interrupt(self, played_ms: int) -> None:
        """Stop the last answer; the user has heard `played_ms` of it, and that is remembered.

        Answers are made faster than they are heard. So it counts after `AnswerDone`, too, as long
        as no further turn is answered: nothing is emitted then, but what was not heard is forgotten
        all the same. Before the first answer it does nothing.
        """
        ...

    def tool_result(self, call_id: str, content: str, *, is_error: bool = False) -> None:
        """What a called tool returned."""
        ...

    async def close(self) -> None:
        """End every task of this agent; safe to call twice."""
        ...
