"""The demo's outcome as a report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harken import __version__
from harken.errors import printable
from harken_hil.demo.clock import RoomClock
from harken_hil.demo.hearing import hear_again
from harken_hil.demo.outcome import words
from harken_hil.report import Curve, Figure, Line, Mark, Report, Span, Stage, Turn, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from harken_hil.demo.hearing import Heard
    from harken_hil.demo.measure import TurnOutcome
    from harken_hil.demo.outcome import Outcome
    from harken_hil.demo.scene import Scene
    from harken_hil.demo.scenery import Scenery
    from harken_hil.report.content import Kind

__all__ = ["GOAL_MS", "STEPS", "stages", "tell"]

GOAL_MS = 800.0
_FIRST_SAID = {
    "wake": "the wake word has to be said first",
    "button": "the button was pressed",
    "voice": "somebody just spoke, goal 120 ms",
}
_LOG_LINES = 400

# Stage that is reached -> what was done until then, by whom, and the name of the mark.
_STAGES: dict[str, tuple[str, Kind, str]] = {
    "speech_end": ("", "speech", "speech end"),
    "device_endpoint": ("speech end found", "device", "device endpoint"),
    "uplink_last": ("last packet", "device", "last packet"),
    "endpoint": ("uplink", "network", "turn taken"),
    "stt_final": ("speech to text", "stt", "transcript"),
    "llm_first": ("first words", "llm", "first words"),
    "tts_first": ("first audio", "tts", "first audio"),
    "downlink_first": ("to the link", "gateway", "first packet"),
    "heard_first": ("downlink, playout", "network", "heard"),
}
STEPS = tuple(label for label, _, _ in _STAGES.values() if label)
"""The steps of a turn, in their order, as `stages` labels them."""
# The device's own marks on the page; its stages come from the timeline.
_OWN: dict[str, tuple[str, Kind]] = {
    "wake": ("wake", "wake"),
    "button": ("button", "wake"),
    "abort": ("abort", "abort"),
    "barge_in": ("voice over the answer", "abort"),
    "stop": ("stop word", "abort"),
    "volume": ("volume", "device"),
    "sentence": ("sentence", "tts"),
    "error": ("error", "abort"),
}


def tell(scene: Scene, scenery: Scenery, outcome: Outcome, when: datetime) -> Report:
    """Everything of a scene that belongs on the page."""
    heard = hear_again(scene.board)
    turns = tuple(
        _turn(scene, outcome, number) for number, _ in enumerate(outcome.turns) if scene.asked
    )
    own = [
        Mark(mark.sample, *_OWN[mark.name], printable(str(mark.value or "")))
        for mark in scene.board.marks
        if mark.name in _OWN
    ]
    clock = RoomClock(scene.board.slips)
    staged = [mark for turn in outcome.turns for mark in _stage_marks(turn, clock)]
    board = scene.board
    return Report(
        title=f"“{outcome.turns[0].heard or outcome.turns[0].said}”" if turns else "Nothing asked",
        subtitle=f"{scenery.device} in {scenery.title}, {when:%-d %B %Y, %H:%M}",
        microphone=board.mic,
        loudspeaker=board.speaker,
        cleaned=heard.cleaned,
        curves=_curves(heard),
        verdicts=tuple(Verdict(c.name, c.ok, c.detail) for c in outcome.checks),
        figures=tuple(_figures(scene, outcome)),
        states=tuple(_states(scene)),
        talking=tuple(
            Span(u.onset, u.end, u.text or "a recording") for u in scene.world.utterances
        ),
        marks=tuple(sorted(own + staged, key=lambda mark: mark.sample)),
        turns=turns,
        facts=tuple(_facts(scene, outcome)),
        log=tuple(_log(scene)),
        goal_ms=GOAL_MS,
    )


def _curves(heard: Heard) -> tuple[Curve, ...]:
    """What the cleaner said of itself."""
    samples = np.array([reading.sample for reading in heard.readings], np.int64)

    def curve(name: str, unit: str, key: str, low: float, high: float) -> Curve:
        values = np.array([getattr(reading, key) for reading in heard.readings], np.float64)
        return Curve(name, unit, samples, values, (low, high))

    return (
        curve("echo removed", "dB", "erle_db", 0, 40),
        curve("noise floor", "dBFS", "noise_db", -96, -20),
        curve("gain", "dB", "gain_db", -20, 30),
    )


def _stage_marks(turn: TurnOutcome, clock: RoomClock) -> list[Mark]:
    return [
        Mark(
            clock.sample(turn.speech_end, at),
            _STAGES[name][2],
            _STAGES[name][1],
            turn.heard if name == "stt_final" else "",
        )
        for name, at in turn.timeline_ms.items()
        if name in _STAGES
    ]


def stages(turn: TurnOutcome) -> tuple[Stage, ...]:
    """The steps from the end of the question to the first sound, each beginning with the last."""
    steps: list[Stage] = []
    before = 0.0
    for name, (label, kind, _) in _STAGES.items():
        at = turn.timeline_ms.get(name, 0.0)
        if at > before:
            steps.append(Stage(label, kind, before, at))
            before = at
    return tuple(steps)


def _turn(scene: Scene, outcome: Outcome, number: int) -> Turn:
    turn, asked = outcome.turns[number], scene.asked[number]
    clock = RoomClock(scene.board.slips)
    answered = None
    if turn.heard_first is not None and turn.heard_last is not None:
        answered = Span(turn.heard_first, turn.heard_last, "answer")
    begin = asked.word.onset if asked.word is not None else asked.question.onset
    notes = [f"called {', '.join(turn.tools)}"] if turn.tools else []
    if turn.interrupted:
        notes.append(f"interrupted after {turn.played_ms / 1000:.1f} s")
    own = [Mark(turn.wake.sample, "wake", "wake", turn.wake.word)] if turn.wake else []
    return Turn(
        # A capital letter or a full stop is no mishearing to point out.
        asked=turn.heard if words(turn.said) == words(turn.heard) else turn.said,
        heard=turn.heard,
        answer=turn.answer,
        question=Span(begin, asked.question.end, turn.said or "a recording"),
        answered=answered,
        marks=tuple(sorted(own + _stage_marks(turn, clock), key=lambda mark: mark.sample)),
        stages=stages(turn),
        voice_to_voice_ms=turn.voice_to_voice_ms,
        note="; ".join([*notes, *turn.errors]),
    )


def _figures(scene: Scene, outcome: Outcome) -> Iterator[Figure]:
    if not outcome.turns:
        return
    first = outcome.turns[0]
    if first.voice_to_voice_ms is not None:
        yield Figure(
            "Voice to voice", f"{first.voice_to_voice_ms:.0f}", "ms", f"goal {GOAL_MS:.0f} ms"
        )
    if first.wake is not None:
        word = f"after “{first.wake.word}” was said" if first.wake.word else "after the press"
        yield Figure("Noticed", f"{first.wake.latency_ms:.0f}", "ms", word)
    if outcome.barge_in is not None:
        yield Figure(
            "Barge-in, from onset",
            f"{outcome.barge_in.stop_ms:.0f}",
            "ms",
            f"until silence; {_FIRST_SAID[scene.asked[1].how]}",
        )
        yield Figure(
            "Barge-in, once noticed", f"{outcome.barge_in.after_wake_ms:.0f}", "ms", "until silence"
        )
    yield Figure("Glitches", str(outcome.device["glitches"]), "", "blocks the loudspeaker missed")


def _states(scene: Scene) -> Iterator[Span]:
    changes = [mark for mark in scene.board.marks if mark.name == "state"]
    ends = [mark.sample for mark in changes[1:]] + [scene.board.now]
    for mark, end in zip(changes, ends, strict=True):
        yield Span(mark.sample, end, printable(str(mark.value), 20))


def _facts(scene: Scene, outcome: Outcome) -> Iterator[tuple[str, str]]:
    room, device = scene.world.room, outcome.device
    yield "Gateway", f"harken {__version__}, a process of its own on loopback"
    yield (
        "Device",
        f"{device['identity']}, {device.get('board', '?')}, real firmware in MicroPython",
    )
    yield "Free heap after boot", f"{device.get('heap_free', 0) / 1024:.0f} of 256 KiB"
    yield "Room", f"{room.size.x} x {room.size.y} x {room.size.z} m, RT60 {room.rt60_s} s"
    yield "Talker", f"{room.talker.distance_m(room.device):.1f} m from the microphone"
    yield "Noise floor", f"{scene.world.noise_dbfs:.0f} dBFS"
    yield "Talker's level", f"{scene.world.talker_dbfs:.0f} dBFS at the microphone"
    yield "Loudspeaker into microphone", f"{scene.world.coupling_db:.0f} dB"
    yield "Loudspeaker's distortion", f"{scene.world.distortion or 0:.1f} of 1"
    slipped = device["clock_slipped_ms"]
    yield "Room's clock stopped for", f"{slipped:.0f} ms, because this machine was busy"


def _log(scene: Scene) -> Iterator[Line]:
    for line in scene.board.logs[-_LOG_LINES:]:
        yield Line("device", printable(line))
    for line in scene.gateway.log.read_text("utf-8", "replace").splitlines()[-_LOG_LINES:]:
        yield Line("gateway", printable(line))
