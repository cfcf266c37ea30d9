"""`harken bench turn` counts a round in which only ours failed, and discards none of them."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest

from harken.errors import RigError
from harken_hil.bench import turn
from harken_hil.demo.measure import TurnOutcome
from harken_hil.speech import Clip

if TYPE_CHECKING:
    from harken_hil.bench.agent_alone import AgentAlone
    from harken_hil.demo.scene import Scene

SCENE = cast("Scene", SimpleNamespace(board=SimpleNamespace(slipped_s=0.0)))
CLIP = replace(Clip.of(np.full(1600, 9000, np.int16)), text="Why?")
ANSWERED = TurnOutcome(
    said="Why?",
    heard="why",
    answer="So.",
    tools=(),
    wake=None,
    speech_end=0,
    heard_first=800,
    heard_last=1600,
    timeline_ms={"speech_end": 0.0, "device_endpoint": 300.0, "stt_final": 450.0},
    voice_to_voice_ms=600.0,
    interrupted=False,
    played_ms=100,
    errors=(),
)
SILENT = replace(ANSWERED, voice_to_voice_ms=None, errors=("agent: no words",))


class Floor:
    """An agent alone that takes so long, each time; None where it fails."""

    def __init__(self, *took: float | None) -> None:
        self._took = list(took)

    async def answer_ms(self, _: Clip) -> float | None:
        return self._took.pop(0)


@pytest.fixture
def ours(monkeypatch: pytest.MonkeyPatch) -> list[TurnOutcome | RigError]:
    """What becomes of ours, each time."""
    outcomes: list[TurnOutcome | RigError] = []

    async def one(*_: Any) -> TurnOutcome:
        outcome = outcomes.pop(0)
        if isinstance(outcome, RigError):
            raise outcome
        return outcome

    async def settled(_: Scene) -> None: ...

    monkeypatch.setattr(turn, "_ours", one)
    monkeypatch.setattr(turn, "_settle", settled)
    return outcomes


async def measured(wanted: int, *floor: float | None) -> turn._Measured:
    return await turn._rounds(SCENE, cast("AgentAlone", Floor(*floor)), [CLIP], wanted)


async def test_a_round_in_which_only_ours_failed_counts(
    ours: list[TurnOutcome | RigError],
) -> None:
    ours += [ANSWERED, SILENT, RigError("the device: the connection was lost")]
    rounds = await measured(3, 200.0, 210.0, 220.0)
    assert rounds.discarded == 0
    p50, p95 = turn._result(rounds).figures
    for line in (p50, p95):
        assert (line.rounds, line.failed, line.discarded) == (1, 2, 0)
        assert line.figure == 600
        assert not line.met
    assert p50.detail["failed_rounds"] == [
        {"asked": "Why?", "why": "agent: no words"},
        {"asked": "Why?", "why": "the device: the connection was lost"},
    ]
    assert p95.detail["samples"] == 1
    parts = p50.detail["parts_ms"]
    assert next(iter(parts)) == "speech end found"
    assert {label: ms for label, ms in parts.items() if ms} == {
        "speech end found": 300.0,
        "speech to text": 150.0,
    }
    json.loads(json.dumps(turn._result(rounds).as_json(), allow_nan=False))


async def test_a_round_whose_floor_failed_is_discarded(ours: list[TurnOutcome | RigError]) -> None:
    ours += [SILENT, ANSWERED, ANSWERED]
    rounds = await measured(2, None, 200.0, 300.0)
    assert rounds.discarded == 1
    p50, _ = turn._result(rounds).figures
    assert (p50.rounds, p50.failed, p50.discarded) == (2, 0, 1)
    assert p50.met
    assert p50.floor == 250
    assert p50.detail["misheard"] == []


async def test_ours_that_never_answers_is_an_error(ours: list[TurnOutcome | RigError]) -> None:
    ours += [SILENT, SILENT]
    rounds = await measured(2, 200.0, 200.0)
    with pytest.raises(RigError, match=r"every one of 2 rounds failed.*no words"):
        turn._result(rounds)


async def test_a_floor_that_never_answers_is_an_error(ours: list[TurnOutcome | RigError]) -> None:
    ours += [ANSWERED] * 6
    with pytest.raises(RigError, match="floor failed in 6 of 6"):
        await measured(2, *[None] * 6)
