"""Streams of human talkers with pauses, in noise and music, and the truth of every 10 ms.

All talkers of the test split take turns, so that no one of them decides. Every other stream is
heard in a room; there the tail of a word is neither speech nor silence, and is not scored.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from harken_models.measure.talk import Cast
from harken_models.scenes.corpora import NOISES, RATE, music, noise
from harken_models.scenes.labels import HOP, SILENCE, SPEECH, UNSURE
from harken_models.scenes.mix import active_rms, fftconvolve, to_int16
from harken_models.scenes.room import random_room

if TYPE_CHECKING:
    Samples = np.ndarray[tuple[int], np.dtype[np.int16]]
    Signal = np.ndarray[tuple[int], np.dtype[np.float64]]
    Labels = np.ndarray[tuple[int], np.dtype[np.int8]]

__all__ = ["QUIET", "SpeechCase", "SpeechStream", "cases", "hear"]

QUIET: Final = "quiet"
_SNRS_DB: Final = (15.0, 5.0, 0.0)
_LEVELS_DBFS: Final = (-38.0, -24.0)
_PAUSES_S: Final = (0.7, 1.8)
_LONGEST_S: Final = 6.0
_FLOOR_DBFS: Final = -75.0
_ROOM_RT60_S: Final = 0.5
_TAIL_HOPS: Final = 20


@dataclass(frozen=True, slots=True)
class SpeechCase:
    """What makes a stream.

    Attributes:
        seed: of its words, its room and its noise.
        background: a kind of noise, "music" or `QUIET`.
        snr_db: speech without its pauses over the background.
        reverberant: heard in a room.
        seconds: how long.
    """

    seed: int
    background: str
    snr_db: float
    reverberant: bool
    seconds: float

    @property
    def label(self) -> str:
        """For people."""
        if self.background == QUIET:
            return QUIET
        return f"{self.background}, {self.snr_db:.0f} dB"


@dataclass(frozen=True, slots=True, eq=False)
class SpeechStream:
    """A stream with its truth.

    Attributes:
        case: what it was made from.
        samples: int16 [n], 16 kHz.
        labels: int8 [n // 160], see `harken_models.scenes.labels`.
        ends: hops [m] after the last of an utterance, each followed by at least 0.7 s of none.
        pauses: hops [m] until the next utterance begins.
    """

    case: SpeechCase
    samples: Samples
    labels: Labels
    ends: tuple[int, ...]
    pauses: tuple[int, ...]


def cases(*, quick: bool = False) -> list[SpeechCase]:
    """Quiet, and every background at every ratio.

    Args:
        quick: 20 s of each at one ratio, instead of two minutes at three.
    """
    seconds, ratios = (20.0, _SNRS_DB[1:2]) if quick else (60.0, _SNRS_DB)
    wanted = [(QUIET, 60.0)] + [
        (background, ratio) for background in (*NOISES["test"], "music") for ratio in ratios
    ]
    rooms = (False, True)
    return [
        SpeechCase(7_000 + 2 * at + room, background, ratio, room, seconds)
        for at, (background, ratio) in enumerate(wanted)
        for room in (rooms if not quick else (at % 2 == 1,))
    ]


@lru_cache(maxsize=1)
def _cast() -> Cast:
    return Cast("test", 0.3, _LONGEST_S)


def hear(case: SpeechCase) -> SpeechStream:
    """Make the stream of a case; the same case always sounds the same.

    Raises:
        StartError: speech, music or the acoustics are not installed.
    """
    rng = np.random.default_rng(case.seed)
    clean, labels, ends, pauses = _utterances(case.seconds, rng)
    if case.reverberant:
        clean = _in_a_room(clean, rng)
        _mark_tails(labels)
    level = 10 ** (float(rng.uniform(*_LEVELS_DBFS)) / 20) * 32_768
    spoken = clean * (level / max(active_rms(clean), 1.0))
    around = _background(case, rng).astype(np.float64)
    around *= level * 10 ** (-case.snr_db / 20) / max(float(np.sqrt(np.mean(around**2))), 1e-9)
    floor = rng.standard_normal(len(spoken)) * 10 ** (_FLOOR_DBFS / 20) * 32_768
    samples = to_int16(spoken + floor + (around if case.background != QUIET else 0))
    return SpeechStream(case, samples, labels, tuple(ends), tuple(pauses))


def _utterances(
    seconds: float, rng: np.random.Generator
) -> tuple[Signal, Labels, list[int], list[int]]:
    """Talkers in turn, each saying one recording, with pauses between."""
    hops = round(seconds * RATE / HOP)
    clean, labels = np.zeros(hops * HOP), np.zeros(hops, np.int8)
    ends: list[int] = []
    starts: list[int] = []
    people = list(_cast().by_talker)
    at = round(float(rng.uniform(*_PAUSES_S)) * RATE / HOP)
    turn: list[int] = []
    while True:
        turn = turn or [int(pick) for pick in rng.permutation(len(people))]
        clips = _cast().by_talker[people[turn.pop()]]
        clip = clips[int(rng.integers(len(clips)))]
        count = len(clip.labels)
        if at + count + round(_PAUSES_S[0] * 100) > hops:
            break
        clean[at * HOP : (at + count) * HOP] = clip.samples
        labels[at : at + count] = clip.labels
        spoken = np.flatnonzero(clip.labels == SPEECH)
        starts.append(at + int(spoken[0]))
        ends.append(at + int(spoken[-1]) + 1)
        at += count + round(float(rng.uniform(*_PAUSES_S)) * RATE / HOP)
    following = [*starts[1:], hops]
    return clean, labels, ends, [start - end for end, start in zip(ends, following, strict=True)]


def _in_a_room(clean: Signal, rng: np.random.Generator) -> Signal:
    room = random_room(rng)
    while room.rt60_s > _ROOM_RT60_S:
        room = random_room(rng)
    response = room.response(room.talker)
    heard: Signal = fftconvolve(clean, response.taps)[response.delay :][: len(clean)]
    return heard


def _mark_tails(labels: Labels) -> None:
    """What rings on after a word is not scored."""
    for end in np.flatnonzero((labels[:-1] != SILENCE) & (labels[1:] == SILENCE)) + 1:
        tail = labels[end : end + _TAIL_HOPS]
        tail[tail == SILENCE] = UNSURE


def _background(case: SpeechCase, rng: np.random.Generator) -> Samples:
    count = round(case.seconds * RATE / HOP) * HOP
    if case.background == QUIET:
        return np.zeros(count, np.int16)
    if case.background == "music":
        pieces = list(music("test"))
        piece = pieces[int(rng.integers(len(pieces)))].samples
        start = int(rng.integers(RATE, len(piece) - count))
        return piece[start : start + count]
    return noise(case.background, case.seconds, rng, "test")[:count]
