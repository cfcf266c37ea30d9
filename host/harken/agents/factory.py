"""Agents as they are configured."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from harken.agents import intents
from harken.agents.cascade import CascadeAgent
from harken.agents.engines import Engines
from harken.errors import ModelMissingError
from harken_models.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from harken.agents.agent import Agent
    from harken.agents.llm import LanguageModel
    from harken.agents.stt import SpeechToText
    from harken.agents.tts import TextToSpeech
    from harken.config import AgentSettings

__all__ = ["AgentFactory", "build"]

_WHISPER, _LLAMA, _PIPER, _VAD = "whisper-tiny", "smollm2-135m", "piper-joe", "silero-vad"


def build(settings: AgentSettings, store: Store | None = None) -> AgentFactory:
    """The agents that some settings describe; nothing is loaded yet.

    Args:
        settings: the `[agent]` section.
        store: where models are; the user's own if not given.
    """
    return AgentFactory(settings, store or Store())


class AgentFactory:
    """Makes an agent for each session; what is heavy they share.

    Args:
        settings: the `[agent]` section.
        store: where models are.
    """

    def __init__(self, settings: AgentSettings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._engines: Engines | None = None

    async def prepare(self) -> None:
        """Load the engines and run each once, away from the event loop.

        Raises:
            ModelMissingError: a model is not in the store; the hint says how to get it.
            HarkenError: an engine cannot be had; the hint says what to do.
        """
        if self._engines is not None:
            return
        engines = Engines(
            _stt(self._settings, self._store),
            _llm(self._settings, self._store),
            _tts(self._settings, self._store),
            self._vad(),
        )
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(engines.stt.prepare())
                group.create_task(engines.llm.prepare(self._settings.instructions))
                group.create_task(engines.tts.prepare())
                # The sentences are read on first use, which no user should wait for.
                group.create_task(asyncio.to_thread(intents.match, "set the volume to thirty"))
        except BaseExceptionGroup as failures:
            await _close(engines)
            raise failures.exceptions[0] from None
        self._engines = engines

    def create(self) -> Agent:
        """An agent for one session; `prepare` was called."""
        assert self._engines is not None, "AgentFactory.prepare comes first"
        return CascadeAgent(self._engines, self._settings)

    async def close(self) -> None:
        """Let go of the engines; safe to call twice."""
        engines, self._engines = self._engines, None
        if engines is not None:
            await _close(engines)

    def _vad(self) -> Path | None:
        """The voice activity model, if it is there."""
        try:
            return self._store.weights(_VAD)
        except ModelMissingError:
            return None


async def _close(engines: Engines) -> None:
    for engine in (engines.stt, engines.llm, engines.tts):
        await engine.close()


def _threads(least: int = 1) -> int:
    """Threads for one inference: half of the processors, but `least` where there are so many."""
    processors = os.cpu_count() or 1
    return max(min(processors, least), processors // 2)


def _stt(settings: AgentSettings, store: Store) -> SpeechToText:
    if settings.stt.engine == "openai":
        from harken.agents.openai_stt import OpenAiStt

        return OpenAiStt(settings.stt)
    from harken.agents.whisper import WhisperStt

    return WhisperStt(store.locate(settings.stt.model or _WHISPER), _threads(2))


def _llm(settings: AgentSettings, store: Store) -> LanguageModel:
    if settings.llm.engine == "openai":
        from harken.agents.openai_llm import OpenAiLlm

        return OpenAiLlm(settings.llm)
    from harken.agents.llama import LlamaLlm

    llm = settings.llm
    # llama.cpp's threads wait for each other by spinning: with one too many for the processors that
    # are free, it falls from 90 tokens a second to 3.
    return LlamaLlm(
        store.weights(llm.model or _LLAMA),
        max_tokens=llm.max_tokens,
        temperature=llm.temperature,
        threads=_threads(),
    )


def _tts(settings: AgentSettings, store: Store) -> TextToSpeech:
    if settings.tts.engine == "openai":
        from harken.agents.openai_tts import OpenAiTts

        return OpenAiTts(settings.tts)
    from harken.agents.piper import PiperTts

    return PiperTts(store.weights(settings.tts.model or settings.tts.voice or _PIPER), _threads(2))
