"""Hears where the user's speech starts, pauses and ends, and keeps the audio of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from harken.audio.vad import RATE, WINDOW, WINDOW_MS, Endpointer

if TYPE_CHECKING:
    from harken.audio.vad import SileroVad
    from harken.config import EndpointSettings

__all__ = ["Heard", "Listener"]

_MOST_MS: Final = 30_000
# Kept before the first window of speech and after the last one: soft consonants lie there.
_LEAD_MS: Final = 300
_TRAIL_MS: Final = 200
# Audio kept while nobody speaks: what is needed once somebody does.
_IDLE_MS: Final = 2_000
_BYTES_PER_MS: Final = RATE * 2 // 1000


@dataclass(frozen=True, slots=True)
class Heard:
    """Something the listener noticed, `ms_ago` before the end of what it was fed.

    `started` and `ended` are a turn's. `paused`: after speech, it has been quiet for a while;
    `resumed`: the pause was not the end.
    """

    kind: Literal["started", "paused", "resumed", "ended"]
    ms_ago: int = 0


class Listener:
    """The audio of one turn.

    Args:
        vad: tells speech; without it all audio is taken for speech and nothing is noticed.
        endpoint: when speech starts and ends.
        pause_ms: quiet after which speech is `paused`.
    """

    def __init__(
        self, vad: SileroVad | None, endpoint: EndpointSettings, pause_ms: int = 96
    ) -> None:
        self._vad = vad
        self._endpoint = endpoint
        self._pause_ms = pause_ms
        self._turns = Endpointer(
            threshold=endpoint.threshold,
            release=endpoint.release,
            min_speech_ms=endpoint.min_speech_ms,
            silence_ms=endpoint.silence_ms,
        )
        self.clear()

    def clear(self) -> None:
        """Forget the audio; a new turn begins."""
        self._audio = bytearray()
        self._judged_ms = 0  # of `_audio`, by the voice activity model
        self._first_ms: int | None = None
        self._last_ms = 0
        self._paused = False
        self._turns.reset()
        if self._vad is not None:
            self._vad.reset()

    @property
    def spoke(self) -> bool:
        """Whether speech was heard in this turn, as far as that can be told."""
        return self._vad is None or self._first_ms is not None

    def utterance(self) -> bytes:
        """The audio from a little before the speech to a little after it; empty without speech."""
        if self._vad is None:
            return bytes(self._audio)
        if self._first_ms is None:
            return b""
        start = max(0, self._first_ms - _LEAD_MS) * _BYTES_PER_MS
        return bytes(self._audio[start : (self._last_ms + _TRAIL_MS) * _BYTES_PER_MS])

    def feed(self, pcm: bytes) -> list[Heard]:
        """Take audio, int16 mono at 16 kHz; returns what was noticed in it, in order.

        A turn is at most 30 s long; what comes after that is ignored.
        """
        room = _MOST_MS * _BYTES_PER_MS - len(self._audio)
        if room <= 0:
            return []
        pcm = pcm[:room]
        self._audio += pcm
        if self._vad is None:
            return []
        heard: list[Heard] = []
        for probability in self._vad.feed(pcm):
            self._judged_ms += WINDOW_MS
            heard += self._judge(probability)
        self._forget_idle()
        if len(self._audio) >= _MOST_MS * _BYTES_PER_MS and self._first_ms is not None:
            heard.append(Heard("ended", max(0, self._judged_ms - self._last_ms)))
        return heard

    def _judge(self, probability: float) -> list[Heard]:
        """One window of 32 ms."""
        heard: list[Heard] = []
        event = self._turns.push(probability)
        if event is not None and event.kind == "start" and self._first_ms is None:
            self._first_ms = max(0, self._judged_ms - event.ms_ago)
            heard.append(Heard("started", event.ms_ago))
        if self._first_ms is None:
            return heard
        if probability >= (self._endpoint.release if self._turns.speaking else 1.0):
            self._last_ms = self._judged_ms
            if self._paused:
                self._paused = False
                heard.append(Heard("resumed"))
        quiet_ms = self._judged_ms - self._last_ms
        if not self._paused and quiet_ms >= self._pause_ms:
            self._paused = True
            heard.append(Heard("paused", quiet_ms))
        if event is not None and event.kind == "end":
            heard.append(Heard("ended", event.ms_ago))
        return heard

    def _forget_idle(self) -> None:
        """Drop old audio while nobody has spoken."""
        extra_ms = self._judged_ms - _IDLE_MS
        if self._first_ms is None and extra_ms >= WINDOW_MS:
            extra_ms -= extra_ms % WINDOW_MS
            del self._audio[: extra_ms * _BYTES_PER_MS]
            self._judged_ms -= extra_ms


assert WINDOW_MS * _BYTES_PER_MS == WINDOW * 2
