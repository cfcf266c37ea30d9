"""Stretches of human speech put together from short recordings, with what is said in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from harken.errors import StartError
from harken_models.scenes.corpora import PACKAGES, RATE, speech
from harken_models.scenes.labels import HOP, SPEECH, speech_hops

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from harken_models.scenes.corpora import Clip, Split

    Samples = np.ndarray[tuple[int], np.dtype[np.int16]]
    Labels = np.ndarray[tuple[int], np.dtype[np.int8]]

__all__ = ["Cast", "Talk", "Trimmed"]

_PEAK: Final = 8_000
_FADE: Final = 80


@dataclass(frozen=True, slots=True, eq=False)
class Trimmed:
    """One recording from its first word to its last.

    Attributes:
        samples: int16 [n], 16 kHz, n a multiple of 160, all recordings about as loud.
        labels: int8 [n // 160], see `harken_models.scenes.labels`.
        clip: what it was cut from.
    """

    samples: Samples
    labels: Labels
    clip: Clip


@dataclass(frozen=True, slots=True, eq=False)
class Talk:
    """Somebody talking for a while.

    Attributes:
        samples: int16 [n], 16 kHz, digital silence in the pauses.
        labels: int8 [n // 160].
        text: what is said, "" where that is not known of every part.
        talker: who.
    """

    samples: Samples
    labels: Labels
    text: str
    talker: str


class Cast:
    """The talkers of a split, their recordings cut to what they say.

    Args:
        split: whose.
        shortest_s, longest_s: recordings that are taken.
        wanted: which clips; all unless given.

    Raises:
        StartError: none is installed.
    """

    def __init__(
        self,
        split: Split,
        shortest_s: float = 0.2,
        longest_s: float = 12.0,
        wanted: Callable[[Clip], bool] | None = None,
    ) -> None:
        by_talker: dict[str, list[Trimmed]] = {}
        for clip in speech(split):
            if not shortest_s <= clip.seconds <= longest_s or not (wanted is None or wanted(clip)):
                continue
            trimmed = _trimmed(clip)
            if trimmed is not None:
                by_talker.setdefault(clip.talker, []).append(trimmed)
        if not by_talker:
            raise StartError(
                "no human speech to measure with is installed",
                hint=f"apt-get install {' '.join(PACKAGES)}",
            )
        self.by_talker: Mapping[str, Sequence[Trimmed]] = by_talker

    def talk(
        self,
        talker: str,
        seconds: float,
        rng: np.random.Generator,
        pause_s: tuple[float, float] = (0.15, 0.5),
    ) -> Talk:
        """Recordings of one talker in a random order, whole ones, padded with silence.

        Args:
            talker: one of `by_talker`.
            seconds: how long; the last recording that does not fit is left out.
            rng: draws.
            pause_s: shortest and longest pause between two recordings.
        """
        hops = round(seconds * RATE / HOP)
        samples = np.zeros(hops * HOP, np.int16)
        labels = np.zeros(hops, np.int8)
        texts: list[str | None] = []
        at = 0
        clips = self.by_talker[talker]
        for pick in _endless(len(clips), rng):
            part = clips[pick]
            if at + len(part.labels) > hops:
                if texts or at + min(len(clip.labels) for clip in clips) > hops:
                    break
                continue
            end = at + len(part.labels)
            samples[at * HOP : end * HOP] = part.samples
            labels[at:end] = part.labels
            texts.append(part.clip.text)
            at = end + round(float(rng.uniform(*pause_s)) * RATE / HOP)
        known = [text for text in texts if text is not None]
        text = " ".join(known) if len(known) == len(texts) else ""
        return Talk(samples, labels, text, talker)


def _endless(count: int, rng: np.random.Generator) -> list[int]:
    """Picks enough for any stretch: the deck, shuffled again and again."""
    rounds = max(1, 600 // count)
    return [int(pick) for _ in range(rounds) for pick in rng.permutation(count)]


def _trimmed(clip: Clip) -> Trimmed | None:
    """From the first word to the last; None where they cannot be told from the rest."""
    labels = speech_hops(clip.samples)
    if labels is None or not np.any(labels == SPEECH):
        return None
    spoken = np.flatnonzero(labels == SPEECH)
    first, last = max(int(spoken[0]) - 3, 0), min(int(spoken[-1]) + 4, len(labels))
    cut = clip.samples[first * HOP : last * HOP].astype(np.float64)
    cut -= cut.mean()
    # No recording may be louder than another by much, nor begin or end with a click.
    cut *= _PEAK / max(float(np.percentile(np.abs(cut), 99.5)), 1.0)
    cut[:_FADE] *= np.linspace(0, 1, _FADE)
    cut[-_FADE:] *= np.linspace(1, 0, _FADE)
    samples = np.clip(cut, -32_768, 32_767).astype(np.int16)
    return Trimmed(samples, labels[first:last], clip)
