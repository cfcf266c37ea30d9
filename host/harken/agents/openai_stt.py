"""Speech to text at an OpenAI-compatible endpoint: `POST /audio/transcriptions`."""

from __future__ import annotations

import io
import wave
from typing import TYPE_CHECKING

from harken.agents.openai_client import OpenAiClient
from harken.audio.vad import RATE
from harken.errors import AgentError

if TYPE_CHECKING:
    from harken.config import SttSettings

__all__ = ["OpenAiStt"]

_MOST_TEXT = 8_000


class OpenAiStt:
    """A `SpeechToText` elsewhere.

    Args:
        settings: the `[agent.stt]` section.
    """

    def __init__(self, settings: SttSettings) -> None:
        self._client = OpenAiClient("agent.stt", settings)
        self._model = settings.model or "whisper-1"

    async def prepare(self) -> None:
        """See `SpeechToText.prepare`."""
        await self._client.prepare()

    async def transcribe(self, pcm: bytes, language: str) -> str:
        """See `SpeechToText.transcribe`."""
        with self._client.errors():
            # Some servers answer in plain text whatever was asked for.
            answer: object = await self._client.api.audio.transcriptions.create(
                file=("speech.wav", _wav(pcm), "audio/wav"),
                model=self._model,
                language=language.partition("-")[0],
                response_format="json",
            )
            text = answer if isinstance(answer, str) else getattr(answer, "text", None)
            if not isinstance(text, str) or text.lstrip().startswith(("{", "<")):
                raise AgentError(
                    "agent.stt sent something that is no transcript",
                    hint="does agent.stt.base_url speak OpenAI's API?",
                )
            return text.strip()[:_MOST_TEXT]

    async def close(self) -> None:
        """See `SpeechToText.close`."""
        await self._client.close()


def _wav(pcm: bytes) -> bytes:
    """Audio as the endpoint wants it."""
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(RATE)
        wav.writeframes(pcm)
    return file.getvalue()
