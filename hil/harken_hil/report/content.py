"""What a report shows: plain values, in device samples (16,000 a second) or milliseconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Kind = Literal["device", "network", "gateway", "stt", "llm", "tts", "wake", "speech", "abort"]


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at one moment."""

    sample: int
    name: str
    kind: Kind
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Span:
    """Something that lasted: a state of the device, somebody talking."""

    start: int
    end: int
    label: str


@dataclass(frozen=True, slots=True)
class Stage:
    """One step between the end of the question and the first sound of the answer.

    Attributes:
        label: what is being done.
        kind: who does it.
        start_ms, end_ms: since the last sample of speech.
    """

    label: str
    kind: Kind
    start_ms: float
    end_ms: float


@dataclass(frozen=True, slots=True)
class Turn:
    """A question and its answer.

    Attributes:
        asked: what was really said; empty where nobody knows.
        heard: the transcript.
        answer: the words of the answer.
        question: where the question was spoken.
        answered: where the answer sounded; None where it never did.
        marks: of this turn alone.
        stages: in order, each beginning where the one before it ended.
        voice_to_voice_ms: from the last sample of speech to the first of the answer.
        note: one more thing worth saying, such as that it was interrupted.
    """

    asked: str
    heard: str
    answer: str
    question: Span
    answered: Span | None
    marks: tuple[Mark, ...] = ()
    stages: tuple[Stage, ...] = ()
    voice_to_voice_ms: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Something that had to come true."""

    label: str
    ok: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Figure:
    """A number at the head of the report."""

    label: str
    value: str
    unit: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Curve:
    """A figure over time.

    Attributes:
        name: of the figure, in a few letters.
        unit: of its values.
        samples: int64 [n], ascending.
        values: float64 [n], one for each.
        range: what the picture's lower and upper edge are.
    """

    name: str
    unit: str
    samples: NDArray[np.int64]
    values: NDArray[np.float64]
    range: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a log."""

    source: str
    text: str


@dataclass(frozen=True, slots=True)
class Report:
    """Everything on the page.

    Attributes:
        title, subtitle: plain text.
        microphone, loudspeaker: int16 [n], 16 kHz, from device sample 0.
        cleaned: int16 [n], the microphone after the device's cleaner; None where it has none.
        curves: what the cleaner said of itself.
        states: of the device, without gaps.
        talking: what the world's people said, when.
        facts: name and value of what else should be known of the run.
        goal_ms: voice-to-voice to be reached.
    """

    title: str
    subtitle: str
    microphone: NDArray[np.int16]
    loudspeaker: NDArray[np.int16]
    verdicts: tuple[Verdict, ...] = ()
    figures: tuple[Figure, ...] = ()
    states: tuple[Span, ...] = ()
    talking: tuple[Span, ...] = ()
    marks: tuple[Mark, ...] = ()
    turns: tuple[Turn, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    log: tuple[Line, ...] = field(default=())
    goal_ms: float = 800.0
    cleaned: NDArray[np.int16] | None = None
    curves: tuple[Curve, ...] = ()
