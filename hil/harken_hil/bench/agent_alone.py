"""The agent by itself, in a process of its own: the floor of `harken bench turn`.

It is given speech in real time, as a device sends it, and is told at once that the turn is over.
A process of its own, because the gateway has one too, and because an agent at work in the rig's
process would hold up the room.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harken.agents import factory
from harken.agents.agent import (
    AgentConfig,
    AgentFailed,
    AnswerAudio,
    AnswerCancelled,
    AnswerDone,
)
from harken_hil.speech import RATE
from harken_hil.world import SILENCE_PEAK

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from concurrent.futures import Executor

    from numpy.typing import NDArray

    from harken.agents.agent import Agent, AgentEvent
    from harken.agents.shared import AgentSource
    from harken.config import AgentSettings
    from harken_hil.speech import Clip

__all__ = ["AgentAlone", "agent_alone"]

_FRAME = RATE // 50
_TURN_S = 60.0


class AgentAlone:
    """The gateway's agent in a process of its own; see `agent_alone`."""

    def __init__(self, process: Executor) -> None:
        self._process = process

    async def answer_ms(self, clip: Clip) -> float | None:
        """From the last sample of speech to the first of the answer that is not silence.

        Returns:
            Milliseconds; None where no answer came.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._process, _answer, clip.samples[: clip.end])


@contextlib.asynccontextmanager
async def agent_alone(settings: AgentSettings) -> AsyncGenerator[AgentAlone]:
    """The agent that a gateway with these settings has, loaded.

    Raises:
        HarkenError: it cannot be had.
    """
    loop = asyncio.get_running_loop()
    # Forking would copy the threads' locks of numerical libraries in whatever state they are.
    context = multiprocessing.get_context("spawn")
    process = ProcessPoolExecutor(1, mp_context=context)
    try:
        await loop.run_in_executor(process, _start, settings)
        yield AgentAlone(process)
        await loop.run_in_executor(process, _stop)
    finally:
        process.shutdown(cancel_futures=True)


@dataclass(slots=True)
class _Loaded:
    """What the process keeps between calls."""

    runner: asyncio.Runner
    source: AgentSource
    agent: Agent


_loaded: list[_Loaded] = []


def _start(settings: AgentSettings) -> None:
    async def started() -> tuple[AgentSource, Agent]:
        source = factory.build(settings)
        await source.prepare()
        agent = source.create()
        await agent.start(AgentConfig())
        return source, agent

    runner = asyncio.Runner()
    _loaded.append(_Loaded(runner, *runner.run(started())))


def _stop() -> None:
    async def stopped(loaded: _Loaded) -> None:
        await loaded.agent.close()
        await loaded.source.close()

    while _loaded:
        loaded = _loaded.pop()
        with contextlib.closing(loaded.runner):
            loaded.runner.run(stopped(loaded))


def _answer(speech: NDArray[np.int16]) -> float | None:
    loaded = _loaded[0]
    return loaded.runner.run(_answered(loaded.agent, speech))


async def _answered(agent: Agent, speech: NDArray[np.int16]) -> float | None:
    loop = asyncio.get_running_loop()
    due = loop.time()
    for at in range(0, len(speech), _FRAME):
        agent.feed(speech[at : at + _FRAME].tobytes())
        due += _FRAME / RATE
        await asyncio.sleep(due - loop.time())
    spoken = loop.time()
    agent.commit()
    first: float | None = None
    try:
        async with asyncio.timeout(_TURN_S):
            async for event in agent.events():
                if first is None:
                    first = _audible_at(event)
                if isinstance(event, AnswerDone | AnswerCancelled | AgentFailed):
                    break
    except TimeoutError:
        return None
    return (first - spoken) * 1000 if first is not None else None


def _audible_at(event: AgentEvent) -> float | None:
    """When the first sample of a piece that is not silence could be heard at the earliest."""
    if not isinstance(event, AnswerAudio):
        return None
    samples = np.frombuffer(event.pcm, np.int16).astype(np.int32)
    loud = np.flatnonzero(np.abs(samples) >= SILENCE_PEAK)
    return event.at + int(loud[0]) / event.rate if len(loud) else None
