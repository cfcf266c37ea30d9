"""Text to speech at an OpenAI-compatible endpoint: `POST /audio/speech`, raw PCM."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from harken.agents.openai_client import OpenAiClient
from harken.errors import AgentError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from harken.config import TtsSettings

__all__ = ["OpenAiTts"]

_RATE: Final = 24_000
_MOST_SECONDS: Final = 120
_HINT: Final = "does agent.tts.base_url speak OpenAI's API with response_format pcm?"


class OpenAiTts:
    """A `TextToSpeech` elsewhere; its `pcm` is 24 kHz.

    Args:
        settings: the `[agent.tts]` section.
    """

    def __init__(self, settings: TtsSettings) -> None:
        self._client = OpenAiClient("agent.tts", settings)
        self._model = settings.model or "tts-1"
        self._voice = settings.voice or "alloy"

    @property
    def rate(self) -> int:
        """See `TextToSpeech.rate`."""
        return _RATE

    async def prepare(self) -> None:
        """See `TextToSpeech.prepare`."""
        await self._client.prepare()

    async def speak(self, text: str) -> AsyncGenerator[bytes]:
        """See `TextToSpeech.speak`."""
        total, odd = 0, b""
        with self._client.errors():
            speech = self._client.api.audio.speech.with_streaming_response
            async with speech.create(
                model=self._model, voice=self._voice, input=text, response_format="pcm"
            ) as response:
                _check_type(response.headers.get("content-type", ""))
                async for data in response.iter_bytes(_RATE // 5):
                    if not total and data.startswith((b"RIFF", b"ID3", b"OggS", b"fLaC")):
                        raise AgentError("agent.tts sent a file instead of raw PCM", hint=_HINT)
                    total += len(data)
                    if total > _MOST_SECONDS * _RATE * 2:
                        raise AgentError("agent.tts does not come to an end", hint=_HINT)
                    whole = odd + data
                    cut = len(whole) - len(whole) % 2
                    odd = whole[cut:]
                    yield whole[:cut]
            if not total:
                raise AgentError("agent.tts sent no audio", hint=_HINT)

    async def close(self) -> None:
        """See `TextToSpeech.close`."""
        await self._client.close()


def _check_type(content_type: str) -> None:
    """Refuse what says of itself that it is no audio."""
    if content_type.startswith(("application/json", "text/")):
        raise AgentError(f"agent.tts sent {content_type[:60]} instead of audio", hint=_HINT)
