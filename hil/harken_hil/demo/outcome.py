"""What came of the demo, measured where the user's ears and mouth are.

Speech ends where the talker's clip ends at the microphone, and an answer begins with the first
sample out of the loudspeaker that is not silence: neither is taken from what the device or the
gateway say of themselves.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from harken_hil.board.sim_board import RATE
from harken_hil.demo.clock import RoomClock
from harken_hil.demo.script import VOLUME
from harken_hil.world import SILENCE_PEAK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from harken.session.timeline import TurnRecord
    from harken_hil.board.sim_board import Mark
    from harken_hil.demo.scene import Asked, Scene

__all__ = [
    "BargeIn",
    "Check",
    "Outcome",
    "Recorded",
    "TurnOutcome",
    "Wake",
    "judge",
    "measure_turn",
    "word_error_rate",
    "words",
]

# A small model may take "a" for "the"; what was meant is still clear.
_UNDERSTOOD = 0.2
# The device stamps a press with the last block it has heard, a little behind the room.
_BEHIND = RATE // 25
# An answer that goes on for so long after the device has heard its name was not interrupted.
_SILENT_WITHIN_MS = 500


@dataclass(frozen=True, slots=True)
class Wake:
    """How the device noticed that it was called.

    Attributes:
        word: of the wake model; empty for the button.
        sample: when it noticed, by its own mark.
        latency_ms: from the end of the spoken word, or from the press, to that.
    """

    word: str
    sample: int
    latency_ms: float


@dataclass(frozen=True, slots=True)
class TurnOutcome:
    """One turn.

    Attributes:
        said: what was really said; empty where nobody knows.
        heard: the transcript.
        answer: what the agent wanted to say.
        tools: the tools it called.
        wake: how the device was called; None where it did not notice.
        speech_end: device sample just after the talker's last.
        heard_first, heard_last: first and last sample of the answer that is not silence; None
            where nothing was heard.
        timeline_ms: stage -> ms after `speech_end`.
        voice_to_voice_ms: from `speech_end` to `heard_first`, with the time for which the room's
            clock stood still.
        interrupted: the user broke into the answer.
        played_ms: how much of the answer the device has played, by its own word.
        errors: what the gateway had to say of it.
    """

    said: str
    heard: str
    answer: str
    tools: tuple[str, ...]
    wake: Wake | None
    speech_end: int
    heard_first: int | None
    heard_last: int | None
    timeline_ms: dict[str, float]
    voice_to_voice_ms: float | None
    interrupted: bool
    played_ms: int
    errors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BargeIn:
    """How the second turn interrupted the first answer.

    Attributes:
        stop_ms: from the onset of the user's wake word (or the press) to the last sample of the
            answer that is not silence. The word itself has to be spoken first.
        after_wake_ms: from the moment the device noticed to that sample.
    """

    stop_ms: float
    after_wake_ms: float


@dataclass(frozen=True, slots=True)
class Check:
    """Something that had to come true."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything that came of a demo."""

    turns: tuple[TurnOutcome, ...]
    barge_in: BargeIn | None
    checks: tuple[Check, ...]
    device: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def ok(self) -> bool:
        """Whether everything came true."""
        return all(check.ok for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """Plain values: the first turn's at the top, all turns below."""
        first = self.turns[0] if self.turns else None
        return {
            "ok": self.ok,
            "heard": first.heard if first else "",
            "answer": first.answer if first else "",
            "wake": asdict(first.wake) if first and first.wake else None,
            "timeline_ms": first.timeline_ms if first else {},
            "voice_to_voice_ms": first.voice_to_voice_ms if first else None,
            "barge_in_stop_ms": self.barge_in.stop_ms if self.barge_in else None,
            "abort_after_wake_ms": self.barge_in.after_wake_ms if self.barge_in else None,
            "device": self.device,
            "checks": [asdict(check) for check in self.checks],
            "turns": [asdict(turn) for turn in self.turns],
        }


class Recorded(Protocol):
    """What is left of a board after a run.

    Attributes:
        marks: what the device stamped.
        slips: samples at which the room's clock stood still, and for how many seconds.
    """

    marks: list[Mark]
    slips: list[tuple[int, float]]

    @property
    def speaker(self) -> NDArray[np.int16]:
        """Everything the loudspeaker played: int16 [n], 16 kHz."""
        ...


def judge(scene: Scene) -> Outcome:
    """Measure a scene that has been played and hold it to its script."""
    records = [*scene.records, *(None for _ in scene.asked)]
    # An answer lies before the end of the question that interrupts it.
    ends = [asked.question.end for asked in scene.asked[1:]] + [scene.board.now]
    turns = tuple(
        measure_turn(asked, records[i], scene.board, ends[i]) for i, asked in enumerate(scene.asked)
    )
    barge_in = _barge_in(scene.asked[1], turns) if len(turns) > 1 else None
    return Outcome(turns, barge_in, _checks(scene, turns, barge_in), _device(scene))


def measure_turn(
    asked: Asked, record: TurnRecord | None, board: Recorded, until: int
) -> TurnOutcome:
    """One turn as it was at the microphone and the loudspeaker.

    Args:
        asked: when and what.
        record: the gateway's word on it, where there is any.
        board: what it heard, played and marked.
        until: device sample before which the answer lies.
    """
    end = asked.question.end
    sounding = _loud(board.speaker, end, until)
    first = int(sounding[0]) if len(sounding) else None
    took = RoomClock(board.slips).ms(end, first) if first is not None else None
    return TurnOutcome(
        said=asked.question.text,
        heard=record.transcript if record else "",
        answer=record.answer if record else "",
        tools=record.tools if record else (),
        wake=_wake(asked, board.marks),
        speech_end=end,
        heard_first=first,
        heard_last=int(sounding[-1]) if len(sounding) else None,
        timeline_ms=_timeline(record, asked, board.marks, took),
        voice_to_voice_ms=took,
        interrupted=record.interrupted if record else False,
        played_ms=record.played_ms if record else 0,
        errors=record.errors if record else (),
    )


def _loud(speaker: NDArray[np.int16], start: int, end: int) -> NDArray[np.int64]:
    """The samples in a range at which the loudspeaker is not silent."""
    return np.flatnonzero(np.abs(speaker[start:end].astype(np.int32)) >= SILENCE_PEAK) + start


def _wake(asked: Asked, marks: Sequence[Mark]) -> Wake | None:
    name = "wake" if asked.word is not None else "button"
    called = asked.word.end if asked.word is not None else asked.called
    for mark in marks:
        if mark.name == name and asked.called - _BEHIND <= mark.sample < asked.question.end:
            word = str(mark.value) if asked.word is not None else ""
            noticed = max(mark.sample, asked.called)
            return Wake(word, noticed, RoomClock().ms(called, noticed))
    return None


def _timeline(
    record: TurnRecord | None, asked: Asked, marks: Sequence[Mark], heard_ms: float | None
) -> dict[str, float]:
    """The gateway's stages, counted from the true end of speech instead of the device's guess."""
    if record is None or not record.stages:
        return {}
    guess = _guessed_end(asked, marks)
    shift = RoomClock().ms(asked.question.end, guess) if guess is not None else 0.0
    stages = {name: round(at + shift, 1) for name, at in record.stages.items()}
    stages["speech_end"] = 0.0
    if heard_ms is not None:
        stages["heard_first"] = heard_ms
    return stages


def _guessed_end(asked: Asked, marks: Sequence[Mark]) -> int | None:
    """Where the device believes that speech ended: its first word on it after the question."""
    return next(
        (m.sample for m in marks if m.name == "speech_end" and m.sample > asked.question.onset),
        None,
    )


def _barge_in(second: Asked, turns: tuple[TurnOutcome, ...]) -> BargeIn | None:
    """How long the first answer went on; None where it was over before, or nobody noticed."""
    wake, last = turns[1].wake, turns[0].heard_last
    if wake is None or last is None or last < second.called:
        return None
    # It may have paused between two words when the device noticed.
    after = max(0.0, RoomClock().ms(wake.sample, last))
    return BargeIn(RoomClock().ms(second.called, last), after)


def _checks(
    scene: Scene, turns: tuple[TurnOutcome, ...], barge_in: BargeIn | None
) -> tuple[Check, ...]:
    checks = [_heard(turns[0]), _answered(turns[0], scene.script.expected)] if turns else []
    if scene.script.command is not None:
        checks.append(_interrupted(turns, barge_in))
        checks.append(_obeyed(scene, turns))
    if scene.failure is not None or not turns:
        checks.append(Check("Finished", False, str(scene.failure or "nothing was asked")))
    return tuple(checks)


def _heard(turn: TurnOutcome) -> Check:
    if turn.wake is None:
        return Check("Heard", False, "the device did not notice that it was called")
    if not turn.said:
        return Check("Heard", bool(turn.heard), turn.heard or "no words were understood")
    wrong = word_error_rate(words(turn.said), words(turn.heard))
    detail = "word for word" if not wrong else f"as “{turn.heard}”"
    return Check("Heard", wrong <= _UNDERSTOOD, detail)


def words(text: str) -> list[str]:
    """A text's words, without case and punctuation."""
    kept = "".join(c if c.isalnum() or c.isspace() else " " for c in text.casefold())
    return kept.split()


def word_error_rate(said: Sequence[str], heard: Sequence[str]) -> float:
    """Words replaced, added and left out over the words said (V. I. Levenshtein, 1966)."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(said, 1):
        before, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (word != other))
    return row[-1] / max(1, len(said))


def _answered(turn: TurnOutcome, expected: str) -> Check:
    if turn.voice_to_voice_ms is None:
        return Check("Answered", False, "; ".join(turn.errors) or "nothing was heard")
    took = f"after {turn.voice_to_voice_ms:.0f} ms"
    if expected and expected.casefold() not in words(turn.answer):
        return Check("Answered", False, f"{took}, but without “{expected}”")
    return Check("Answered", bool(turn.answer), took)


def _interrupted(turns: tuple[TurnOutcome, ...], barge_in: BargeIn | None) -> Check:
    if len(turns) < 2 or turns[1].wake is None:
        return Check("Interrupted", False, "the device did not notice that it was called again")
    if barge_in is None or not turns[0].interrupted:
        return Check("Interrupted", False, "the answer was over before")
    after = barge_in.after_wake_ms
    if after > _SILENT_WITHIN_MS:
        return Check("Interrupted", False, f"it went on for {after:.0f} ms")
    return Check("Interrupted", True, f"silent {after:.0f} ms after the device noticed")


def _obeyed(scene: Scene, turns: tuple[TurnOutcome, ...]) -> Check:
    """Whether the command had its effect on the device: it is louder than before."""
    called = scene.asked[1].called if len(turns) > 1 else 0
    volumes = [m.value for m in scene.board.marks if m.name == "volume" and m.sample > called]
    if len(turns) < 2 or not volumes:
        return Check("Obeyed", False, "the volume did not change")
    return Check("Obeyed", volumes[-1] > VOLUME, f"volume {VOLUME} → {volumes[-1]}")


def _device(scene: Scene) -> dict[str, Any]:
    board = scene.board
    return {
        **board.hello,
        "identity": scene.identity,
        "seconds": round(board.now / RATE, 2),
        "glitches": len(board.glitches),
        "boots": board.boots,
        "clock_slipped_ms": round(board.slipped_s * 1000, 1),
    }
