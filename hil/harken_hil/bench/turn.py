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
from typing import TYPE_CHECKING, Final

import numpy as np
from rich.console import Console

from harken.errors import RigError
from harken_hil.bench.agent_alone import agent_alone
from harken_hil.bench.measure import BenchResult, Figure, Goal, Samples, Setting, figure
from harken_hil.demo.live import Live
from harken_hil.demo.measure import TurnOutcome, measure_turn
from harken_hil.demo.outcome import words
from harken_hil.demo.run import device_and_gateway
from harken_hil.demo.script import WAKE_WORDS, Script
from harken_hil.demo.settings import RigSettings
from harken_hil.demo.story import STEPS, stages
from harken_hil.speech import RATE, PiperVoice
from harken_models import store

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harken_hil.bench.agent_alone import AgentAlone
    from harken_hil.bench.measure import BenchOptions
    from harken_hil.demo.scene import Scene
    from harken_hil.speech import Clip

__all__ = ["ROUNDS", "SETTINGS", "run"]

# Of five, the 95th percentile would be little else than the slowest.
ROUNDS: Final = 10
SETTINGS: Final[dict[str, Setting]] = {}

_P50_MS, _P95_MS = 800.0, 1200.0
_WAKE = "okay_nabu"
_TURN_S = 60.0
_ATTEMPTS_A_ROUND = 3
_SETTLE = 2 * RATE
_FLOOR = "the agent alone, told when speech ends"
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
    """One question, whose floor held; `ours_ms` is None where ours failed, `why` says how."""

    asked: str
    floor_ms: float
    ours: TurnOutcome | None
    ours_ms: float | None
    why: str


@dataclass(frozen=True, slots=True)
class _Measured:
    rounds: list[_Round]
    discarded: int
    slipped_ms: float


def run(options: BenchOptions) -> BenchResult:
    """Measure.

    Raises:
        RigError: the floor failed too often, or ours in every round.
        ModelMissingError: a model is not in the model store.
    """
    voice = PiperVoice(store.weights("piper-joe"))
    word, *questions = voice.say(WAKE_WORDS[_WAKE], *_QUESTIONS)
    with tempfile.TemporaryDirectory(prefix="harken-bench-") as folder:
        measured = asyncio.run(_measure(word, questions, options.rounds, Path(folder)))
    return _result(measured)


async def _measure(word: Clip, questions: list[Clip], wanted: int, folder: Path) -> _Measured:
    script = Script("wake", _WAKE, word, questions[0], "", None)
    settings = RigSettings.of()
    live = Live(Console(quiet=True))
    async with (
        agent_alone(settings.load().agent) as agent,
        device_and_gateway(script, folder, live, settings) as scene,
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
                f"the floor failed in {attempts - len(rounds)} of {attempts} rounds",
                hint="run it again when less else is running",
            )
        question = questions[attempts % len(questions)]
        found = await _one(scene, agent, question, ours_first=attempts % 2 == 0)
        attempts += 1
        if found is not None:
            rounds.append(found)
    return _Measured(rounds, attempts - wanted, round(scene.board.slipped_s * 1000, 1))


async def _one(scene: Scene, agent: AgentAlone, clip: Clip, *, ours_first: bool) -> _Round | None:
    """A round: ours and the floor on the same question; None where the floor failed."""
    floor_ms: float | None = None
    if not ours_first:
        floor_ms = await agent.answer_ms(clip)
    ours: TurnOutcome | None = None
    try:
        ours = await _ours(scene, clip)
        why = "; ".join(ours.errors) or "nothing was heard"
    except RigError as error:
        why = str(error)
        await _settle(scene)
    if ours_first:
        floor_ms = await agent.answer_ms(clip)
    if floor_ms is None:
        return None
    ours_ms = ours.voice_to_voice_ms if ours is not None else None
    return _Round(clip.text, floor_ms, ours, ours_ms, why if ours_ms is None else "")


async def _ours(scene: Scene, clip: Clip) -> TurnOutcome:
    asked = await scene.ask(clip)
    await scene.rest()
    record = await scene.gateway.turn(within_s=_TURN_S)
    return measure_turn(asked, record, scene.board, scene.board.now)


async def _settle(scene: Scene) -> None:
    """After a turn that failed, wait until the next one can be asked.

    Raises:
        RigError: the device is beyond that.
    """
    # The answer may still begin as long as the gateway waits for its agent.
    await scene.world.reached(scene.board.now + _SETTLE, within_s=_TURN_S)
    await scene.world.hushed(_SETTLE, within_s=_TURN_S)
    await scene.board.wait_until(
        lambda: _last_state(scene) == "idle", timeout=_TURN_S, what="the device is not idle"
    )
    scene.gateway.finished_turns()


def _last_state(scene: Scene) -> str:
    states = [str(mark.value) for mark in scene.board.marks if mark.name == "state"]
    return states[-1] if states else ""


def _result(measured: _Measured) -> BenchResult:
    """The figures of the rounds in which ours answered; one in which it did not fails them all.

    Raises:
        RigError: ours never answered.
    """
    held = [
        (r.ours, r.ours_ms, r.floor_ms)
        for r in measured.rounds
        if r.ours is not None and r.ours_ms is not None
    ]
    failed = [{"asked": r.asked, "why": r.why} for r in measured.rounds if r.ours_ms is None]
    if not held:
        raise RigError(
            f"every one of {len(failed)} rounds failed; the last one: {failed[-1]['why']}",
            hint="`harken demo` shows one turn in full",
        )
    turns, ours, floor = zip(*held, strict=True)
    samples = Samples(ours, floor=floor, discarded=measured.discarded, failed=len(failed))
    detail = {
        "parts_ms": _parts(turns),
        "rounds_ms": samples.ours,
        "floor_rounds_ms": [round(ms, 1) for ms in samples.floor],
        "failed_rounds": failed,
        "misheard": [turn.heard for turn in turns if words(turn.heard) != words(turn.said)],
        "clock_slipped_ms": measured.slipped_ms,
    }
    p50 = figure(
        "voice to voice p50",
        "ms",
        samples,
        Goal("figure", "<=", _P50_MS),
        floor_name=_FLOOR,
        detail=detail,
    )
    return BenchResult("turn", (p50, _p95(samples)))


def _parts(turns: Iterable[TurnOutcome]) -> dict[str, float]:
    """Where the time went: the median of each step; nought where the one before had it done."""
    took = [{step.label: step.end_ms - step.start_ms for step in stages(turn)} for turn in turns]
    return {
        label: round(statistics.median(turn.get(label, 0.0) for turn in took), 1) for label in STEPS
    }


def _p95(samples: Samples) -> Figure:
    goal = Goal("figure", "<=", _P95_MS)
    slow, slow_floor = (float(np.quantile(side, 0.95)) for side in (samples.ours, samples.floor))
    count = len(samples.ours)
    return Figure(
        name="voice to voice p95",
        unit="ms",
        figure=slow,
        rival=None,
        floor=slow_floor,
        ratio=slow / slow_floor,
        goal=str(goal),
        met=goal.met(slow) and not samples.failed,
        rounds=count,
        discarded=samples.discarded,
        failed=samples.failed,
        floor_name=_FLOOR,
        detail={"samples": count, "slowest_ms": max(samples.ours)},
    )
