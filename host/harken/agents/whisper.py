"""Whisper on this machine."""

from __future__ import annotations

import asyncio
import importlib
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from harken.audio.pcm import level_dbfs
from harken.errors import AgentError, ModelFormatError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["WhisperStt"]

RATE: Final = 16_000
_MOST_SECONDS: Final = 30
_LEAST_SECONDS: Final = 0.1
_SILENCE_DBFS: Final = -60.0
_FRAMES_PER_SECOND: Final = 100
_WHOLE_WINDOW: Final = _MOST_SECONDS * _FRAMES_PER_SECOND
# Costs a quarter of the time and no accuracy; from 10 s down the decoder begins to repeat itself.
_SHORT_WINDOW: Final = 12 * _FRAMES_PER_SECOND
_MARGIN: Final = 3 * _FRAMES_PER_SECOND
# Greedy. Of 64 recordings in the simulated room (16 questions, a voice 1.7 m away, four noises, the
# device's Opus) it got 49 word for word and 59 with at most one word in five wrong; beams of 2 to 5
# got 46, 46, 47, 47 and 56, 56, 57, 57, for 7 to 15 % more CPU (163 ms to 188 ms): they say short
# sentences twice over. What is left is the small model's: at 0.6 m it got 29 of 32, not more.
_BEAMS: Final = 1


class WhisperStt:
    """Whisper through CTranslate2, int8, greedy, without timestamps.

    Whisper always listens to 30 s, which an utterance rarely fills; a short one is therefore given
    a shorter window. Where that makes the decoder repeat itself, as it may, it is transcribed again
    in the whole one.

    Args:
        folder: the model in CTranslate2's format.
        threads: CPU threads for one transcription.
    """

    def __init__(self, folder: Path, threads: int = 2) -> None:
        self._folder = folder
        self._threads = threads
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="harken-stt")
        self._model: Any = None

    async def prepare(self) -> None:
        """Load the model and run it once.

        Raises:
            AgentError: `faster-whisper` is not installed.
            ModelFormatError: the folder is not such a model.
        """
        await asyncio.get_running_loop().run_in_executor(self._worker, self._load)

    async def transcribe(self, pcm: bytes, language: str) -> str:
        """See `SpeechToText.transcribe`."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._worker, self._transcribe, pcm, language)

    async def close(self) -> None:
        """End the worker thread."""
        self._worker.shutdown(wait=False, cancel_futures=True)

    def _load(self) -> None:
        if self._model is not None:
            return
        try:
            faster_whisper: Any = importlib.import_module("faster_whisper")  # it has no types
        except ImportError as error:
            raise AgentError(
                "speech to text needs faster-whisper, which is not installed",
                hint='pip install "harken[local]", or set agent.stt.engine = "openai"',
            ) from error
        try:
            self._model = faster_whisper.WhisperModel(
                str(self._folder),
                device="cpu",
                compute_type="int8",
                cpu_threads=self._threads,
                local_files_only=True,
            )
        except (RuntimeError, ValueError, OSError) as error:
            raise ModelFormatError(
                f"{self._folder} is not a Whisper model that can be loaded: {error}",
                hint="run `harken models verify`",
            ) from error
        quiet = np.zeros(RATE, np.float32)
        self._decode(quiet, "en", _SHORT_WINDOW)

    def _transcribe(self, pcm: bytes, language: str) -> str:
        if self._model is None:
            self._load()
        pcm = pcm[: 2 * RATE * _MOST_SECONDS]
        if len(pcm) < 2 * RATE * _LEAST_SECONDS or level_dbfs(pcm) < _SILENCE_DBFS:
            return ""
        samples = np.frombuffer(pcm, np.int16).astype(np.float32) / np.float32(32_768)
        frames = len(samples) * _FRAMES_PER_SECOND // RATE
        window = _SHORT_WINDOW if frames + _MARGIN <= _SHORT_WINDOW else _WHOLE_WINDOW
        text, sound = self._decode(samples, language, window)
        if not sound and window < _WHOLE_WINDOW:
            text, _ = self._decode(samples, language, _WHOLE_WINDOW)
        return text

    def _decode(self, samples: NDArray[np.float32], language: str, window: int) -> tuple[str, bool]:
        """Words heard in a window of so many 10 ms frames, and whether they are sound."""
        ctranslate2: Any = importlib.import_module("ctranslate2")  # its types are incomplete

        whisper = self._model
        heard = np.zeros(window * RATE // _FRAMES_PER_SECOND, np.float32)
        heard[: len(samples)] = samples[: len(heard)]
        features = np.ascontiguousarray(whisper.feature_extractor(heard)[None, :, :window])
        encoded = whisper.model.encode(ctranslate2.StorageView.from_array(features))
        most = 12 + int(len(samples) / RATE * 8)
        result = whisper.model.generate(
            encoded,
            [self._prompt(language)],
            beam_size=_BEAMS,
            max_length=2 * most,
            return_no_speech_prob=True,
            return_scores=True,
        )[0]
        tokens = result.sequences_ids[0]
        text = str(whisper.hf_tokenizer.decode(tokens)).strip()
        if result.no_speech_prob > 0.6 and result.scores[0] < -1.0:
            return "", True
        return text, len(tokens) < most and not _repeats(text)

    def _prompt(self, language: str) -> list[int]:
        """The tokens that tell Whisper what to do."""
        names = ["<|startoftranscript|>"]
        if self._model.model.is_multilingual:
            names += [f"<|{language.partition('-')[0].lower()}|>", "<|transcribe|>"]
        names.append("<|notimestamps|>")
        tokens = [self._model.hf_tokenizer.token_to_id(name) for name in names]
        if None in tokens:
            raise AgentError(
                f"this Whisper model does not know the language {language!r}",
                hint="set agent.language, or another model in agent.stt.model",
            )
        return tokens


def _repeats(text: str) -> bool:
    """Whether a text goes round in circles: it compresses too well (Whisper's own measure)."""
    data = text.encode()
    return len(data) > 30 and len(data) / len(zlib.compress(data)) > 2.0
