"""What came of the demo, held to its script."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from harken_hil.board.sim_board import RATE
from harken_hil.demo.clock import RoomClock
from harken_hil.demo.measure import TurnOutcome, measure_turn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harken_hil.demo.scene import Asked, Scene

__all__ = [
    "BargeIn",
    "Check",
    "Outcome",
    "judge",
    "word_error_rate",
    "words",
]

# A small model may take "a" for "the"; what was meant is still clear.
_UNDERSTOOD = 0.2
# An answer that goes on for so long after the device has heard its name was not interrupted.
_SILENT_WITHIN_MS = 500
# Marks of a device that takes something for a reason to stop its answer.
_STOPPING = ("barge_in", "wake", "stop", "abort")


@dataclass(frozen=True, slots=True)
class BargeIn:
    """How the second turn interrupted the first answer.

    Attributes:
        stop_ms: from the onset of the user's wake word or voice (or the press) to the last sample
            of the answer that is not silence. A wake word has to be spoken first.
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
        if scene.script.interrupt == "voice":
            checks.append(_undisturbed(scene, turns))
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


_SMALL = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen"),
    "nineteen",
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def words(text: str) -> list[str]:
    """A text's words, without case and punctuation; "20%" is "twenty percent"."""
    text = text.casefold().replace("%", " percent ")
    kept = "".join(c if c.isalnum() or c.isspace() else " " for c in text)
    return [part for word in kept.split() for part in _spelled(word)]


def _spelled(word: str) -> list[str]:
    """A number below a hundred as it is said; anything else as it is."""
    if not (word.isascii() and word.isdigit()) or len(word) > 2:
        return [word]
    number = int(word)
    if number < len(_SMALL):
        return [_SMALL[number]]
    tens, ones = divmod(number, 10)
    return [_TENS[tens - 2], *([_SMALL[ones]] if ones else [])]


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
        return Check("Interrupted", False, "the device did not notice")
    if barge_in is None or not turns[0].interrupted:
        return Check("Interrupted", False, "the answer was over before")
    after = barge_in.after_wake_ms
    if after > _SILENT_WITHIN_MS:
        return Check("Interrupted", False, f"it went on for {after:.0f} ms")
    return Check("Interrupted", True, f"silent {after:.0f} ms after the device noticed")


def _undisturbed(scene: Scene, turns: tuple[TurnOutcome, ...]) -> Check:
    """Whether the device let its own answer alone until somebody spoke over it."""
    begun = turns[0].heard_first if turns else None
    if begun is None or len(turns) < 2:
        return Check("Undisturbed", False, "nobody came to speak over an answer")
    spoken = scene.asked[1].called
    for mark in scene.board.marks:
        if mark.name in _STOPPING and begun <= mark.sample < spoken:
            at = RoomClock().ms(begun, mark.sample)
            return Check("Undisturbed", False, f"{mark.name} {at:.0f} ms into its own answer")
    quiet = (spoken - begun) / RATE
    return Check("Undisturbed", True, f"by {quiet:.1f} s of its own answer")


def _obeyed(scene: Scene, turns: tuple[TurnOutcome, ...]) -> Check:
    """Whether the command had its effect on the device: it is louder, or quieter, than before."""
    called = scene.asked[1].called if len(turns) > 1 else 0
    volumes = [m.value for m in scene.board.marks if m.name == "volume" and m.sample > called]
    if len(turns) < 2 or not volumes:
        return Check("Obeyed", False, "the volume did not change")
    before, now = scene.script.volume, volumes[-1]
    ok = now > before if scene.script.louder else now < before
    return Check("Obeyed", ok, f"volume {before} → {now}")


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
