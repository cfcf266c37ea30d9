"""Speech to text: what the cascade wants of it."""

from __future__ import annotations

from typing import Protocol

__all__ = ["SpeechToText"]


class SpeechToText(Protocol):
    """Turns an utterance into words."""

    async def prepare(self) -> None:
        """Load what is needed, once.

        Raises:
            HarkenError: it cannot be had; the hint says what to do.
        """
        ...

    async def transcribe(self, pcm: bytes, language: str) -> str:
        """The words of one utterance, empty where there are none.

        Args:
            pcm: int16 little endian mono at 16 kHz, at most 30 s.
            language: BCP 47 tag of what is spoken.

        Raises:
            AgentError: it failed.
        """
        ...

    async def close(self) -> None:
        """Let go of everything; safe to call twice."""
        ...
