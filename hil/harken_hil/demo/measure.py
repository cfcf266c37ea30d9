"""A turn, measured where the user's ears and mouth are.

Speech ends where the talker's clip ends at the microphone, and an answer begins with the first
sample out of the loudspeaker that is not silence: neither is taken from what the device or the
gateway say of themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from harken_hil.board.sim_board import RATE
from harken_hil.demo.clock import RoomClock
from harken_hil.world import SILENCE_PEAK

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from harken.session.timeline import TurnRecord
    from harken_hil.board.sim_board import Mark
    from harken_hil.demo.scene import Asked

__all__ = ["Recorded", "TurnOutcome", "Wake", "measure_turn"]

# Stages that the gateway stamps by its own clock.
_GATEWAYS = frozenset({"endpoint", "stt_final", "llm_first", "tts_first", "downlink_first"})
# How the device is called -> its mark when it has noticed.
_NOTICED_BY = {"wake": "wake", "button": "button", "voice": "barge_in"}
# The device stamps a press with the last block it has heard, a little behind the room.
_BEHIND = RATE // 25


@dataclass(frozen=True, slots=True)
class Wake:
    """How the device noticed that it was called.

    Attributes:
        word: of the wake model; empty for the button and for a voice over the answer.
        sample: when it noticed, by its own mark.
        latency_ms: from the end of the spoken word, from the press, or from the onset of the
            voice, to that.
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
        timeline_ms=_timeline(record, asked, board, took),
        voice_to_voice_ms=took,
        interrupted=record.interrupted if record else False,
        played_ms=record.played_ms if record else 0,
        errors=record.errors if record else (),
    )


def _loud(speaker: NDArray[np.int16], start: int, end: int) -> NDArray[np.int64]:
    """The samples in a range at which the loudspeaker is not silent."""
    return np.flatnonzero(np.abs(speaker[start:end].astype(np.int32)) >= SILENCE_PEAK) + start


def _wake(asked: Asked, marks: Sequence[Mark]) -> Wake | None:
    name = _NOTICED_BY[asked.how]
    called = asked.word.end if asked.word is not None else asked.called
    for mark in marks:
        if mark.name == name and asked.called - _BEHIND <= mark.sample < asked.question.end:
            word = str(mark.value) if asked.word is not None else ""
            noticed = max(mark.sample, asked.called)
            return Wake(word, noticed, RoomClock().ms(called, noticed))
    return None


def _timeline(
    record: TurnRecord | None, asked: Asked, board: Recorded, heard_ms: float | None
) -> dict[str, float]:
    """The stages, counted from the true end of speech.

    The gateway counts from where the device believes that speech ended, and it joins the two
    clocks by the quickest messages of the last turns: a room that stood still meanwhile misleads
    it. Its own stages are therefore joined anew.
    """
    if record is None or not record.stages:
        return {}
    clock, end = RoomClock(board.slips), asked.question.end
    guess = _first(board.marks, "speech_end", None, asked.question.onset)
    shift = clock.ms(end, guess) if guess is not None else 0.0
    join = _join(record.stages, board, asked)
    stages = {
        name: round(at + (join if join is not None and name in _GATEWAYS else shift), 1)
        for name, at in record.stages.items()
    }
    stages["speech_end"] = 0.0
    if heard_ms is not None:
        stages["heard_first"] = heard_ms
    return stages


def _join(stages: Mapping[str, float], board: Recorded, asked: Asked) -> float | None:
    """What turns the gateway's stages into milliseconds after the true end of speech.

    A message went up (the end of the turn) and one came down (the transcript): the clocks are
    joined so that both took equally long (D. L. Mills, RFC 5905 section 8). None where one of
    them is not known.
    """
    stopped = _first(board.marks, "listen", "stop", asked.question.onset)
    told = _first(board.marks, "stt", None, asked.question.onset)
    if stopped is None or told is None or not {"endpoint", "stt_final"} <= stages.keys():
        return None
    clock, end = RoomClock(board.slips), asked.question.end
    device = clock.ms(end, stopped) + clock.ms(end, told)
    return (device - stages["endpoint"] - stages["stt_final"]) / 2


def _first(marks: Sequence[Mark], name: str, value: str | None, after: int) -> int | None:
    """The sample of the first mark of a name (and value, unless None) after a sample."""
    return next(
        (
            mark.sample
            for mark in marks
            if mark.name == name and mark.sample > after and value in (None, mark.value)
        ),
        None,
    )
