"""What wake words are judged on: phrases in many surroundings, and hours in which nobody says them.

No package holds human recordings of wake phrases: phrases are **synthetic**, spoken by voices that
no training of ours hears. What must not wake a device is human speech and music of the test split.
Everything is heard as a device hears it, after its `Cleaner`.
"""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from harken.errors import StartError
from harken_models.core import HOP, Cleaner
from harken_models.scenes.corpora import NOISES, RATE, music, noise, speech
from harken_models.scenes.decoded import cache_root
from harken_models.scenes.loudspeaker import Loudspeaker
from harken_models.scenes.mix import at_snr, echo_scene, fftconvolve, level, to_int16
from harken_models.scenes.room import random_room
from harken_models.train.speaking import Utterance, spoken
from harken_models.train.voices import NATURAL, installed_voices, missing_voices, part_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harken_models.scenes.mix import EchoScene
    from harken_models.train.progress import Report

    Samples = np.ndarray[tuple[int], np.dtype[np.int16]]
    Signal = np.ndarray[tuple[int], np.dtype[np.float64]]

__all__ = [
    "BLOCK_S",
    "SURROUNDINGS",
    "BlockCase",
    "Phrase",
    "blocks",
    "hear_block",
    "hear_phrase",
    "phrases",
]

Surroundings = Literal["quiet", "room", "noise", "music", "playback", "playback, not cleaned"]
SURROUNDINGS: Final[tuple[Surroundings, ...]] = (
    "quiet",
    "room",
    "noise",
    "music",
    "playback",
    "playback, not cleaned",
)
"""Near and quiet; across a room; that in noise or music 10 dB below; while the device itself plays
6 dB louder than the talker is, cleaned of its echo, or (to show the difference) not."""

BLOCK_S: Final = 300
_LEAD_S, _TAIL_S = 3.0, 1.5
_PLAYED_BEFORE_S: Final = 6
_NEAR_DBFS: Final = (-34.0, -22.0)
_SNR_DB: Final = 10.0
_ECHO_TO_NEAR_DB: Final = 6.0
_PLAY_DBFS: Final = -20.0
_NATURAL_SPEEDS: Final = (0.85, 0.92, 1.0, 1.08, 1.16)
_NATURAL_PITCHES: Final = (0.94, 1.0, 1.06)
_FORMANT_SPEEDS: Final = (0.9, 1.0, 1.12)
_SEED: Final = 4_711


@dataclass(frozen=True, slots=True, eq=False)
class Phrase:
    """One rendition of a phrase, dry.

    Attributes:
        text: the phrase.
        voice: whose, as `ENGINE NAME`.
        natural: the voice was made from a person's recordings.
        samples: int16 [n], 16 kHz.
        number: draws its surroundings.
    """

    text: str
    voice: str
    natural: bool
    samples: Samples
    number: int


@dataclass(frozen=True, slots=True)
class BlockCase:
    """Five minutes in which no phrase is said.

    Attributes:
        number: which five minutes of the corpus, and the seed of what is around them.
        content: "speech", "speech in a room", "speech in noise" or "music".
    """

    number: int
    content: str


def phrases(text: str, report: Report, *, quick: bool = False) -> list[Phrase]:
    """A phrase by every held-out voice at several speeds and pitches.

    Args:
        text: what is said.
        report: called as voices speak.
        quick: at one speed and pitch.

    Raises:
        StartError: no engine with a held-out voice is installed.
    """
    wanted: list[Utterance] = []
    for voice in installed_voices():
        if part_of(voice) != "test":
            continue
        natural = voice.engine in NATURAL
        speeds: tuple[float, ...] = _NATURAL_SPEEDS if natural else _FORMANT_SPEEDS
        pitches: tuple[float, ...] = _NATURAL_PITCHES if natural else (1.0,)
        if quick:
            speeds, pitches = (1.0,), (1.0,)
        wanted += [Utterance(voice, text, s, p) for s in speeds for p in pitches]
    if not any(each.voice.engine in NATURAL for each in wanted):
        raise StartError(
            "no voice is installed that was held out of training: nobody can say the phrase",
            hint="; ".join(missing_voices()),
        )
    said = _kept(wanted, report)
    return [
        Phrase(
            text,
            f"{each.voice.engine} {each.voice.name}",
            each.voice.engine in NATURAL,
            samples,
            number,
        )
        for number, (each, samples) in enumerate(zip(wanted, said, strict=True))
        if len(samples) > RATE // 5
    ]


def _kept(wanted: Sequence[Utterance], report: Report) -> list[Samples]:
    """Speak, or take what was spoken before from the cache folder."""
    name = hashlib.sha256(repr(wanted).encode()).hexdigest()[:12]
    path = cache_root() / f"phrases-{name}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            said = spoken(wanted, Path(scratch), report)
            fresh = Path(scratch) / "phrases.npz"
            np.savez(fresh, *said)
            fresh.rename(path)
    with np.load(path) as kept:
        return [kept[f"arr_{number}"] for number in range(len(wanted))]


def hear_phrase(phrase: Phrase, surroundings: Surroundings) -> Samples:
    """A phrase as the device's models hear it: 3 s of the surroundings, the phrase, 1.5 s.

    Returns:
        int16 [n], 16 kHz, the output of the `Cleaner` with everything on.
    """
    if surroundings.startswith("playback"):
        scene = _playback_scene(phrase)
        reference = scene.reference if surroundings == "playback" else None
        return Cleaner().run(scene.mic, reference)[0][_PLAYED_BEFORE_S * RATE :]
    rng = np.random.default_rng([_SEED, phrase.number, SURROUNDINGS.index(surroundings)])
    dry, near_dbfs = _laid_out(phrase), float(rng.uniform(*_NEAR_DBFS))
    sound: Signal = dry if surroundings == "quiet" else _in_room(dry, rng)
    sound = level(sound, near_dbfs)
    if surroundings == "noise":
        kinds = [kind for kind in NOISES["test"] if kind != "babble"]
        kind = kinds[int(rng.integers(len(kinds)))]
        sound = at_snr(sound, noise(kind, len(dry) / RATE, rng, "test"), _SNR_DB)
    if surroundings == "music":
        sound = at_snr(sound, _some_music(len(dry), rng), _SNR_DB)
    sound = sound + rng.standard_normal(len(sound)) * 32_768 * 10 ** (-72 / 20)
    return Cleaner().run(to_int16(sound), None)[0]


@lru_cache(maxsize=1)
def _playback_scene(phrase: Phrase) -> EchoScene:
    """While the device plays: it has played for some seconds when the scene begins."""
    rng = np.random.default_rng([_SEED, phrase.number, SURROUNDINGS.index("playback")])
    dry, near_dbfs = _laid_out(phrase), float(rng.uniform(*_NEAR_DBFS))
    before = _PLAYED_BEFORE_S * RATE
    return echo_scene(
        rng,
        level(_some_playback(before + len(dry), rng), _PLAY_DBFS),
        np.concatenate([np.zeros(before), dry]),
        random_room(rng),
        Loudspeaker(0.2),
        float(rng.uniform(20, 120)),
        _ECHO_TO_NEAR_DB,
        near_dbfs=near_dbfs,
    )


def _laid_out(phrase: Phrase) -> Signal:
    """The phrase with silence before and after it."""
    dry = np.zeros(round((_LEAD_S + _TAIL_S) * RATE) + len(phrase.samples))
    start = round(_LEAD_S * RATE)
    dry[start : start + len(phrase.samples)] = phrase.samples
    return dry


def _in_room(dry: Signal, rng: np.random.Generator) -> Signal:
    room = random_room(rng)
    response = room.response(room.talker)
    heard: Signal = fftconvolve(dry, response.taps)[response.delay :][: len(dry)]
    return heard


@lru_cache(maxsize=1)
def _test_music() -> tuple[Samples, ...]:
    return tuple(clip.samples for clip in music("test"))


@lru_cache(maxsize=1)
def _test_speech() -> Samples:
    """Everything said in the test split, with a short pause after each recording."""
    parts: list[Samples] = []
    for clip in speech("test"):
        parts += [clip.samples, np.zeros(RATE // 4, np.int16)]
    return np.concatenate(parts)


def _some_music(count: int, rng: np.random.Generator) -> Samples:
    pieces = _test_music()
    piece = pieces[int(rng.integers(len(pieces)))]
    start = int(rng.integers(RATE, len(piece) - count))
    return piece[start : start + count]


def _some_playback(count: int, rng: np.random.Generator) -> Samples:
    """Music, or people talking."""
    if rng.random() < 0.5:
        return _some_music(count, rng)
    said = _test_speech()
    start = int(rng.integers(len(said) - count))
    return said[start : start + count]


def blocks(*, quick: bool = False) -> list[BlockCase]:
    """All human speech of the test split three times over, and its music.

    Args:
        quick: three blocks.
    """
    rounds = -(-len(_test_speech()) // (BLOCK_S * RATE))
    contents = ("speech", "speech in a room", "speech in noise")
    wanted = [BlockCase(number, content) for content in contents for number in range(rounds)]
    wanted += [BlockCase(number, "music") for number in range(4)]
    return wanted[1 :: len(wanted) // 3] if quick else wanted


def hear_block(case: BlockCase) -> Samples:
    """Five minutes as the device's models hear them: int16 [n], 16 kHz, after the `Cleaner`."""
    rng = np.random.default_rng([_SEED, 99, case.number, len(case.content)])
    count = BLOCK_S * RATE
    source = np.concatenate(_test_music()) if case.content == "music" else _test_speech()
    start = case.number * count % len(source)
    sound: Signal = np.take(source, np.arange(start, start + count), mode="wrap").astype(np.float64)
    if case.content in {"speech in a room", "speech in noise"}:
        sound = _in_room(sound, rng)
    sound = level(sound, float(rng.uniform(-36, -20)))
    if case.content == "speech in noise":
        kind = NOISES["test"][int(rng.integers(len(NOISES["test"])))]
        around = noise(kind, 30.0, rng, "test") if case.number % 2 else _some_music(60 * RATE, rng)
        sound = at_snr(sound, around, float(rng.uniform(0, 15)))
    sound = sound + rng.standard_normal(count) * 32_768 * 10 ** (-72 / 20)
    return Cleaner().run(to_int16(sound), None)[0][: count // HOP * HOP]
