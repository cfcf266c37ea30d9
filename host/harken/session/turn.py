"""One utterance of the user and the agent's answer to it, while they last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from harken.session.timeline import Timeline, TurnRecord

if TYPE_CHECKING:
    import asyncio

__all__ = ["Phase", "Turn"]

Phase = Literal["listening", "thinking", "speaking", "draining", "over"]


class Turn:
    """The state of a turn.

    Attributes:
        number: counts the turns of a session from 1.
        phase: the microphone is open, the agent works, its answer is being sent, the rest of it is
            only played, or nothing more of it will happen.
        cancelled: what the agent still says of this turn must not be heard.
        reported: the device itself said how much it has played.
        stopped: the device itself said that it plays no more of the answer.
        settle_by: when the record is closed even if the device says nothing more.
        tool_tasks: tools running for this turn.
    """

    def __init__(self, number: int, began_at: float) -> None:
        self.number = number
        self.phase: Phase = "listening"
        self.began_at = began_at
        self.speech_at: float | None = None
        self.timeline = Timeline()
        self.transcript = ""
        self.answer: list[str] = []
        self.spoken: list[str] = []
        self.tools: list[str] = []
        self.errors: list[str] = []
        self.cancelled = False
        self.interrupted = False
        self.played_ms = 0
        self.sent_ms = 0
        self.late = 0
        self.reported = False
        self.stopped = False
        self.settle_by: float | None = None
        self.tool_tasks: set[asyncio.Task[None]] = set()

    @property
    def answering(self) -> bool:
        """The agent is at work on it, or its answer is still being sent."""
        return self.phase in {"thinking", "speaking"}

    @property
    def open(self) -> bool:
        """The agent is at work on it, or its answer is still being sent or played."""
        return self.phase in {"thinking", "speaking", "draining"}

    def cancel(self) -> None:
        """Leave the turn's scope: tools end, and late words of the agent are not its own."""
        self.cancelled = True
        for task in self.tool_tasks:
            task.cancel()

    def record(self, device: str, session: str) -> TurnRecord:
        """What became of it."""
        stages = self.timeline.relative_ms()
        return TurnRecord(
            number=self.number,
            device=device,
            session=session,
            transcript=self.transcript,
            answer=" ".join(self.answer),
            spoken=" ".join(self.spoken),
            tools=tuple(self.tools),
            stages=stages,
            heard_ms=stages.get("heard_first"),
            interrupted=self.interrupted,
            played_ms=self.played_ms,
            sent_ms=self.sent_ms,
            late=self.late,
            errors=tuple(self.errors),
        )
