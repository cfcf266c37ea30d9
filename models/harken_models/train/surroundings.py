"""What a phrase is heard in: rooms, other people's speech, music, noise, what is left of an echo.

All of one part (train, validation or test) in one folder, so that every process that makes scenes
reads the same. No talker, voice or piece of music is in two parts; rooms and noise are drawn anew.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from scipy import signal as _signal  # type: ignore[import-untyped]

from harken.errors import RigError
from harken_models.core import Cleaner
from harken_models.scenes import corpora
from harken_models.scenes.mix import active_rms, level, to_int16
from harken_models.scenes.room import random_room

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from harken_models.train.speaking import Samples
    from harken_models.train.voices import Part

    Sound = NDArray[np.float64]

__all__ = ["PARTS", "RATE", "Surroundings", "as_wake_words_hear", "gather"]

RATE = 16_000
PARTS: tuple[Part, ...] = ("train", "validation", "test")
_NOISE_S = 40.0
_LONGEST_S = 0.4
"""Reverberation is cut here, where it is 30 dB or more below the sound in most rooms."""
_MUSIC_FOR_VALIDATION = "macroform-the_simplicity"
_TALKERS_FOR_VALIDATION = ("ivrvoice-ru",)
_UNCLEANED = 0.3
"""Share of scenes on a device with noise suppression and gain switched off, or still at first."""


signal = cast("Any", _signal)


def as_wake_words_hear(
    microphone: Samples, parts: int = Cleaner.HIGHPASS | Cleaner.NOISE | Cleaner.GAIN
) -> Samples:
    """What the device's wake words are given of int16 [n] while nothing plays: whole hops of it.

    Args:
        microphone: what it picks up.
        parts: of the cleaner that are switched on; others where a device's owner wants less.
    """
    cleaner = Cleaner()
    cleaner.switch(parts)
    return cleaner.run(microphone, None)[0]


def gather(folder: Path, part: Part, sentences: Sequence[Samples], rooms: int, seed: int) -> None:
    """Write the surroundings of a part into `folder`.

    Args:
        folder: where `PART.npz` is written.
        part: whose talkers and music.
        sentences: int16 [n] each, 16 kHz: what voices of that part say beside the phrase.
        rooms: how many.
        seed: of rooms and noise.

    Raises:
        StartError: recordings are not installed; the hint names the packages.
    """
    rng = np.random.default_rng([seed, zlib.crc32(part.encode())])
    split: corpora.Split = "test" if part == "test" else "train"
    arrays: dict[str, Any] = {
        "speech": np.concatenate(_human_speech(part)),
        "music": np.concatenate(_music(part)),
        "sentences": np.concatenate([*sentences, np.zeros(RATE, np.int16)]),
    }
    for kind in corpora.NOISES[split]:
        arrays[f"noise-{kind}"] = corpora.noise(kind, _NOISE_S, rng, split)
    for number in range(rooms):
        arrays[f"room-{number}"] = _response(rng)
    np.savez(folder / f"{part}.npz", **arrays)


def _human_speech(part: Part) -> list[Samples]:
    split: corpora.Split = "test" if part == "test" else "train"
    found: list[Samples] = []
    for clip in corpora.speech(split):
        volunteer = clip.talker.startswith("volunteer") and not zlib.crc32(clip.talker.encode()) % 6
        kept_back = clip.talker in _TALKERS_FOR_VALIDATION or volunteer
        if part == "test" or kept_back == (part == "validation"):
            found.append(np.asarray(clip.samples, np.int16))
    return found


def _music(part: Part) -> list[Samples]:
    split: corpora.Split = "test" if part == "test" else "train"
    return [
        np.asarray(clip.samples, np.int16)
        for clip in corpora.music(split)
        if part == "test" or (clip.name == _MUSIC_FOR_VALIDATION) == (part == "validation")
    ]


def _response(rng: np.random.Generator) -> NDArray[np.float32]:
    """How a talker sounds in some room, from the direct sound on."""
    while True:
        room = random_room(rng)
        try:
            response = room.response(room.talker)
        except RigError:
            continue  # this size cannot reverberate as briefly as was drawn
        end = response.delay + round(_LONGEST_S * RATE)
        return np.asarray(response.taps[response.delay : end], np.float32)


@dataclass(frozen=True)
class Surroundings:
    """The surroundings of a part.

    Attributes:
        speech: int16 [n], people one after another.
        sentences: int16 [n], synthetic voices.
        music: int16 [n].
        noises: int16 [n] each, by kind.
        rooms: responses from talker to microphone, float32 [n] each.
    """

    speech: Samples
    sentences: Samples
    music: Samples
    noises: dict[str, Samples]
    rooms: tuple[NDArray[np.float32], ...]

    @classmethod
    def read(cls, folder: Path, part: Part) -> Surroundings:
        """What `gather` wrote."""
        with np.load(folder / f"{part}.npz") as arrays:
            found = {name: arrays[name] for name in arrays.files}
        return cls(
            speech=found["speech"],
            sentences=found["sentences"],
            music=found["music"],
            noises={
                name.removeprefix("noise-"): found[name] for name in found if name[:6] == "noise-"
            },
            rooms=tuple(found[name] for name in found if name.startswith("room-")),
        )

    def in_room(self, dry: Sound, rng: np.random.Generator) -> Sound:
        """The sound at the microphone of some room, and one time in six without any room."""
        if rng.random() < 1 / 6 or not self.rooms:
            return dry
        taps = self.rooms[int(rng.integers(len(self.rooms)))]
        heard: Sound = signal.fftconvolve(dry, taps.astype(np.float64))[: len(dry)]
        return heard

    def heard(self, wanted: Sound, rng: np.random.Generator) -> Samples:
        """A sound as a microphone gives it: at some level, in some background.

        Args:
            wanted: float64 [n]; what is there beside the background, silence among it.
            rng: draws level, background and how loud it is.

        Returns:
            int16 [n], clipped where it is too loud.
        """
        loud = level(wanted, float(rng.uniform(-46, -14)))
        noise_floor = rng.standard_normal(len(loud)) * 10 ** (rng.uniform(-84, -62) / 20) * 32_768
        total = loud + noise_floor
        reference = active_rms(loud) or 10 ** (-40 / 20) * 32_768
        for background, lowest, highest in self._backgrounds(len(loud), rng):
            rms = float(np.sqrt(np.mean(background**2)))
            if rms > 0:
                snr = rng.uniform(lowest, highest)
                total += background * (reference / rms * 10 ** (-snr / 20))
        if rng.random() < _UNCLEANED:
            return as_wake_words_hear(to_int16(total), Cleaner.HIGHPASS)
        return as_wake_words_hear(to_int16(total))

    def _backgrounds(
        self, count: int, rng: np.random.Generator
    ) -> list[tuple[Sound, float, float]]:
        """Up to two backgrounds, each with the range of its signal-to-noise ratio in dB."""
        found: list[tuple[Sound, float, float]] = []
        chance = rng.random()
        if chance < 0.45:
            kind = list(self.noises)[int(rng.integers(len(self.noises)))]
            found.append((_stretch(self.noises[kind], count, rng), 3, 28))
        elif chance < 0.65:
            found.append((_stretch(self.music, count, rng), 3, 25))
        if rng.random() < 0.2:
            found.append((self._echo_left(count, rng), 4, 25))
        return found

    def _echo_left(self, count: int, rng: np.random.Generator) -> Sound:
        """What a canceller leaves of what the device plays: dull, and coming and going."""
        source = self.speech if rng.random() < 0.6 else self.music
        low = float(rng.uniform(200, 800))
        sections = signal.butter(
            1, [low, low * float(rng.uniform(2, 8))], "band", fs=RATE, output="sos"
        )
        left: Sound = signal.sosfilt(sections, _stretch(source, count, rng))
        turns = rng.uniform(0.2, 1, 2 + count // RATE)
        return left * np.interp(np.arange(count) / RATE, np.arange(len(turns)), turns)

    def talk(self, count: int, rng: np.random.Generator) -> Sound:
        """Somebody talking, a person or a voice."""
        source = self.speech if rng.random() < 0.5 else self.sentences
        return _stretch(source, count, rng)


def _stretch(source: Samples, count: int, rng: np.random.Generator) -> Sound:
    """`count` samples from anywhere in the source, around its end if need be."""
    start = int(rng.integers(len(source)))
    return np.take(source, np.arange(start, start + count), mode="wrap").astype(np.float64)
