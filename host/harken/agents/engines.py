"""The engines that all conversations of a gateway share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from harken.agents.llm import LanguageModel
    from harken.agents.stt import SpeechToText
    from harken.agents.tts import TextToSpeech

__all__ = ["Engines"]


@dataclass(frozen=True, slots=True)
class Engines:
    """What a cascade is made of.

    Attributes:
        stt, llm, tts: its three stages.
        vad: file of the voice activity model; `None` where it is not there.
    """

    stt: SpeechToText
    llm: LanguageModel
    tts: TextToSpeech
    vad: Path | None = None
