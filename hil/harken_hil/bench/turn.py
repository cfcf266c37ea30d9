"""`harken bench turn`: voice to voice with the embedded agent, at the acoustic edge.

Ours is measured in the room: from the talker's last sample at the microphone to the loudspeaker's
first that is not silence, the whole way through device, link, gateway and agent. The floor is the
same agent alone, given the same audio in real time and told at once that the turn is over: what
is above it is the price of a device that has to hear by itself that speech has ended, and of the
way there and back.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console

from harken.errors import RigError
from harken_hil.bench.agent_alone import AgentAlone
from harken_hil.bench.measure import BenchResult, Figure, Goal, Samples, figure
from harken_hil.demo.live import Live
from harken_hil.demo.measure import TurnOutcome, measure_turn
from harken_hil.demo.outcome import words
from harken_hil.demo.run import device_and_gateway
from harken_hil.demo.script import WAKE_WORDS, Script
from harken_hil.demo.story import stages
from harken_hil.speech import PiperVoice
from harken_models import store

if TYPE_CHECKING:
    from harken_hil.bench.measure import BenchOptions
    from harken_hil.demo.scene import Scene
    from harken_hil.speech import Clip

__all__ = ["run"]

_P50_MS, _P95_MS = 800.0, 1200.0
_WAKE = "okay_nabu"
_TURN_S = 60.0
_ATTEMPTS_A_ROUND = 3
# Another one each round, so that no answer is in anybody's cache.
_QUESTIONS = (
    "Tell me about the capital of France.",
    "How many legs does a spider have?",
    "What is the largest planet?",
    "Why is the sky blue?",
    "Where do penguins live?",
)


@dataclass(frozen=True, slots=True)
class _Round:
    ours: TurnOutcome
    ours_ms: float
    floor_ms: float


@dataclass(frozen=True, slots=True)
class _Measured:
    rounds: list[_Round]
    discarded: int
    slipped_ms: float


def run(options: BenchOptions) -> BenchResult:
    """Measure.

    Raises:
        RigError: too many rounds failed.
        ModelMissingError: a model is not in the model store.
    """
    voice = PiperVoice(store.weights("piper-joe"))
    word, *questions = voice.say(WAKE_WORDS[_WAKE], *_QUESTIONS)
    with tempfile.TemporaryDirectory(prefix="harken-bench-") as folder:
        measured = asyncio.run(_measure(word, questions, options.rounds, Path(folder)))
    return _result(measured)


async def _measure(word: Clip, questions: list[Clip], wanted: int, folder: Path) -> _Measured:
    script = Script("wake", _WAKE, word, questions[0], "", None)
    async with (
        AgentAlone() as agent,
        device_and_gateway(script, folder, Live(Console(quiet=True))) as scene,
    ):
        await scene.board.wait_mark("link", "up", timeout=30)
        # The first turn of either warms caches and counts for nothing.
        await _one(scene, agent, questions[-1], ours_first=True)
        return await _rounds(scene, agent, questions, wanted)


async def _rounds(scene: Scene, agent: AgentAlone, questions: list[Clip], wanted: int) -> _Measured:
    rounds: list[_Round] = []
    attempts = 0
    while len(rounds) < wanted:
        if attempts == _ATTEMPTS_A_ROUND * wanted:
            raise RigError(
                f"only {len(rounds)} of {attempts} rounds succeeded",
                hint="run it again when less else is running",
            )
        question = questions[attempts % len(questions)]
        found = await _one(scene, agent, question, ours_first=attempts % 2 == 0)
        attempts += 1
        if found is not None:
            rounds.append(found)
    return _Measured(rounds, attempts - wanted, round(scene.board.slipped_s * 1000, 1))


async def _one(scene: Scene, agent: AgentAlone, clip: Clip, *, ours_first: bool) -> _Round | None:
    """A round; None where the floor failed."""
    floor: float | None = None
    if not ours_first:
        floor = await agent.answer_ms(clip)
    ours = await _ours(scene, clip)
    if ours_first:
        floor = await agent.answer_ms(clip)
    if floor is None or ours.voice_to_voice_ms is None:
        return None
    return _Round(ours, ours.voice_to_voice_ms, floor)


async def _ours(scene: Scene, clip: Clip) -> TurnOutcome:
    asked = await scene.ask(clip)
    await scene.rest()
    record = await scene.gateway.turn(within_s=_TURN_S)
    return measure_turn(asked, record, scene.board, scene.board.now)


def _result(measured: _Measured) -> BenchResult:
    rounds = measured.rounds
    ours = tuple(r.ours_ms for r in rounds)
    floor = tuple(r.floor_ms for r in rounds)
    parts: dict[str, list[float]] = {}
    for r in rounds:
        for stage in stages(r.ours):
            parts.setdefault(stage.label, []).append(stage.end_ms - stage.start_ms)
    detail = {
        "parts_ms": {label: round(statistics.median(took), 1) for label, took in parts.items()},
        "rounds_ms": ours,
        "floor_rounds_ms": [round(ms, 1) for ms in floor],
        "misheard": sum(words(r.ours.heard) != words(r.ours.said) for r in rounds),
        "clock_slipped_ms": measured.slipped_ms,
    }
    name = "the agent alone, told when speech ends"
    p50 = figure(
        "voice to voice p50",
        "ms",
        Samples(ours, floor=floor, discarded=measured.discarded),
        Goal("figure", "<=", _P50_MS),
        floor_name=name,
        detail=detail,
    )
    goal = Goal("figure", "<=", _P95_MS)
    slow, slow_floor = float(np.quantile(ours, 0.95)), float(np.quantile(floor, 0.95))
    p95 = Figure(
        name="voice to voice p95",
        unit="ms",
        figure=slow,
        rival=None,
        floor=slow_floor,
        ratio=slow / slow_floor,
        goal=str(goal),
        met=goal.met(slow),
        rounds=len(rounds),
        discarded=measured.discarded,
        floor_name=name,
    )
    return BenchResult("turn", (p50, p95))
