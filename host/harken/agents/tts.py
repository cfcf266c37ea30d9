"""Text to speech: what the cascade wants of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

__all__ = ["TextToSpeech"]


class TextToSpeech(Protocol):
    """Speaks text."""

    @property
    def rate(self) -> int:
        """Samples a second of what it speaks; known once prepared."""
        ...

    async def prepare(self) -> None:
        """Load what is needed, once.

        Raises:
            HarkenError: it cannot be had; the hint says what to do.
        """
        ...

    def speak(self, text: str) -> AsyncGenerator[bytes]:
        """The sound of a text, int16 little endian mono, in pieces as they come.

        Raises:
            AgentError: it failed.
        """
        ...

    async def close(self) -> None:
        """Let go of everything; safe to call twice."""
        ...
