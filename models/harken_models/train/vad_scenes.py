"""Talkers in rooms and noise, with what a voice activity or a noise model should say of them.

A scene is made of clean recordings of one talker, one after another with pauses between them, in a
simulated room, with noise or music, at any level a microphone may have. What is speech is known
from the clean recordings (`harken_models.scenes.labels`); what is noise, because it was added.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harken.errors import ConfigError
from harken_models.scenes import corpora
from harken_models.scenes.labels import HOP, SILENCE, UNSURE, speech_hops
from harken_models.scenes.mix import RATE, active_rms, fftconvolve, to_int16
from harken_models.train.vad_noises import EXTRA_KINDS, extra_noise

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    Signal = NDArray[np.float64]

__all__ = ["Scene", "Scenes", "Sources", "room_response", "split_sources"]

_EARLY = RATE // 20
_LEVELS_DBFS = (-48.0, -14.0)
_PAUSE_S = (0.12, 2.5)
_SPEED = (0.82, 1.22)
_TILT = (-0.3, 0.5)
_SHORTEST_S, _LONGEST_S = 0.25, 30.0
_STRETCHES, _STRETCH_S = 16, 20.0
_DRY_SHARE = 0.3
_MUSIC_SHARE = 0.35
_SECOND_NOISE_SHARE = 0.25
_ECHO_SHARE = 0.06
_ECHO_UNDER_SPEECH_DB = (18.0, 32.0)
_MICROPHONE_NOISE_DBFS = (-85.0, -62.0)


@dataclass(frozen=True)
class Sources:
    """What scenes are made of, all of one split.

    Attributes:
        speech: by talker, their clean recordings, int16 [n], 16 kHz.
        music: pieces, int16 [n], 16 kHz.
        noise: (seconds, rng) gives a noise of any kind, float or int16 [n], 16 kHz.
    """

    speech: Mapping[str, Sequence[NDArray[np.int16]]]
    music: Sequence[NDArray[np.int16]]
    noise: Callable[[float, np.random.Generator], NDArray[Any]]


def split_sources(split: corpora.Split, noises: Sequence[str]) -> Sources:
    """What is installed of a split.

    Args:
        split: "train" or "test"; they share no talker and no piece of music.
        noises: kinds of noise, one drawn for each stretch: of `corpora.NOISES`, `EXTRA_KINDS`.

    Raises:
        StartError: the recordings are not installed; the hint names the packages.
    """
    speech: dict[str, list[NDArray[np.int16]]] = {}
    for clip in corpora.speech(split):
        if _SHORTEST_S <= clip.seconds <= _LONGEST_S:
            speech.setdefault(clip.talker, []).append(clip.samples)

    noise = _NoiseBank(split, noises)
    return Sources(speech, [piece.samples for piece in corpora.music(split)], noise.draw)


class _NoiseBank:
    """Some long stretches of each kind of noise; what is drawn is cut from them, at any speed."""

    def __init__(self, split: corpora.Split, kinds: Sequence[str]) -> None:
        self._split: corpora.Split = split
        self._kinds = kinds
        self._stretches: dict[str, list[NDArray[Any]]] = {}

    def draw(self, seconds: float, rng: np.random.Generator) -> Signal:
        """A stretch of any kind: float64 [n], 16 kHz."""
        kind = self._kinds[int(rng.integers(len(self._kinds)))]
        if kind in EXTRA_KINDS:
            return extra_noise(kind, round(seconds * RATE), rng)
        stretches = self._stretches.setdefault(kind, [])
        if len(stretches) < _STRETCHES:
            stretches.append(corpora.noise(kind, _STRETCH_S, rng, self._split))
        stretch = stretches[int(rng.integers(len(stretches)))]
        start = int(rng.integers(stretch.size))
        speed = rng.uniform(0.8, 1.25) if kind != "babble" else 1.0
        count = round(seconds * RATE)
        return np.resize(_faster(np.roll(stretch, -start)[: int(count * 1.3)], speed), count)


@dataclass(frozen=True)
class Scene:
    """What a device hears, and what of it is a talker.

    Attributes:
        mic: int16 [n], 16 kHz.
        speech: float64 [n], the talker in `mic`, reverberation included, in int16 units.
        early: float64 [n], the talker without what the room adds after 50 ms: what should remain.
        labels: int8 [n // 160] of SPEECH, SILENCE and UNSURE (`harken_models.scenes.labels`).
    """

    mic: NDArray[np.int16]
    speech: Signal
    early: Signal
    labels: NDArray[np.int8]


class Scenes:
    """An endless supply of scenes.

    Args:
        sources: what they are made of.
        rng: where chance comes from; the same state and sources give the same scenes.
        seconds: length of each.
        snr_db: the talker over the noise, drawn between these.
        silent: share of scenes in which nobody talks.

    Raises:
        ConfigError: there is nobody to talk.
    """

    def __init__(
        self,
        sources: Sources,
        rng: np.random.Generator,
        *,
        seconds: float = 10.0,
        snr_db: tuple[float, float] = (-5.0, 30.0),
        silent: float = 0.12,
    ) -> None:
        if not any(len(clip) for clips in sources.speech.values() for clip in clips):
            raise ConfigError("there is no speech to train with", hint="install the speech corpora")
        self._sources = sources
        self._rng = rng
        self._snr_db = snr_db
        self._silent = silent
        self._samples = round(seconds * RATE) // HOP * HOP
        self._talkers = sorted(sources.speech)
        amount = [sum(map(len, sources.speech[talker])) for talker in self._talkers]
        odds = np.sqrt(amount)
        self._odds = odds / odds.sum()

    def draw(self) -> Scene:
        """The next scene."""
        rng = self._rng
        dry, labels = self._talk()
        speech, early = self._in_room(dry)
        level = 10 ** (rng.uniform(*_LEVELS_DBFS) / 20) * 32_768
        rms = active_rms(speech)
        gain = level / rms if rms else 1.0
        speech, early = speech * gain, early * gain
        noise = self._noise(level)
        hiss = 10 ** (rng.uniform(*_MICROPHONE_NOISE_DBFS) / 20) * 32_768
        noise = noise + hiss * rng.standard_normal(self._samples)
        return Scene(to_int16(speech + noise), speech, early, labels)

    def _talk(self) -> tuple[Signal, NDArray[np.int8]]:
        """One talker, dry, and the hops in which they speak."""
        rng = self._rng
        dry = np.zeros(self._samples)
        labels = np.full(self._samples // HOP, SILENCE, np.int8)
        if rng.random() < self._silent:
            return dry, labels
        clips = self._clips(rng)
        speed = rng.uniform(*_SPEED)
        tilt = rng.uniform(*_TILT)
        at = _pause(rng) if rng.random() < 0.8 else 0
        while at < self._samples - RATE // 5:
            clip = _faster(clips[int(rng.integers(len(clips)))], speed)
            said = speech_hops(np.rint(clip).astype(np.int16))
            count = min(clip.size // HOP * HOP, self._samples - at)
            hops = slice(at // HOP, (at + count) // HOP)
            labels[hops] = UNSURE if said is None else said[: count // HOP]
            dry[at : at + count] = _tilted(clip[:count], tilt)
            at += count + _pause(rng)
        return dry, labels

    def _clips(self, rng: np.random.Generator) -> Sequence[NDArray[np.int16]]:
        """One talker's recordings; those of whom there is little come less often."""
        return self._sources.speech[self._talkers[rng.choice(len(self._talkers), p=self._odds)]]

    def _in_room(self, dry: Signal) -> tuple[Signal, Signal]:
        """The talker as heard, and without the late reverberation."""
        rng = self._rng
        if rng.random() < _DRY_SHARE:
            return dry, dry
        taps = room_response(rng)
        early = taps.copy()
        late = early[_EARLY:]
        late *= np.exp(-np.arange(late.size) / (0.02 * RATE))
        return _heard(dry, taps), _heard(dry, early)

    def _noise(self, speech_level: float) -> Signal:
        rng = self._rng
        noise = self._background()
        if rng.random() < _SECOND_NOISE_SHARE:
            noise = noise + self._background() * 10 ** (rng.uniform(-20, 0) / 20)
        rms = float(np.sqrt(np.mean(noise**2)))
        noise *= speech_level / max(rms, 1e-9) * 10 ** (-rng.uniform(*self._snr_db) / 20)
        if rng.random() < _ECHO_SHARE:
            noise = noise + self._echo_residue(speech_level)
        return noise

    def _background(self) -> Signal:
        """Noise or music of RMS 1."""
        rng = self._rng
        if self._sources.music and rng.random() < _MUSIC_SHARE:
            piece = self._sources.music[int(rng.integers(len(self._sources.music)))]
            start = int(rng.integers(max(piece.size - self._samples, 1)))
            some = np.resize(piece[start : start + self._samples], self._samples)
            # Another speed and pitch than recorded: there are few pieces.
            sound = np.resize(_faster(some, rng.uniform(0.8, 1.25)), self._samples)
        else:
            seconds = self._samples / RATE
            sound = np.resize(self._sources.noise(seconds, rng), self._samples).astype(np.float64)
        return sound / max(float(np.sqrt(np.mean(sound**2))), 1e-9)

    def _echo_residue(self, speech_level: float) -> Signal:
        """What an echo canceller leaves of an answer: a faint, patchy voice."""
        rng = self._rng
        clips = self._clips(rng)
        far = np.concatenate([clips[int(rng.integers(len(clips)))] for _ in range(6)]).astype(
            np.float64
        )
        far = np.resize(far, self._samples)
        bent = far / 32_768
        bent = bent + 0.3 * bent * np.abs(bent)
        residue = np.diff(bent, prepend=0.0)
        under = 10 ** (-rng.uniform(*_ECHO_UNDER_SPEECH_DB) / 20)
        return residue * speech_level * under / max(active_rms(residue), 1e-9)


def room_response(rng: np.random.Generator) -> Signal:
    """How a room answers, by its statistics: direct sound, a few reflections, a decaying noise.

    A thousand such rooms cost as much as one of image sources (J.-D. Polack, "La transmission de
    l'énergie sonore dans les salles", 1988); what is measured uses the latter.

    Returns:
        float64 [n], 16 kHz, the direct sound first, with amplitude 1.
    """
    rt60_s = rng.uniform(0.12, 0.8)
    direct_to_rest_db = rng.uniform(-6.0, 12.0)
    count = round(rt60_s * RATE)
    at = np.arange(count)
    tail = rng.standard_normal(count) * 10 ** (-3 * at / count)
    # Reflections grow dense with the square of the time.
    dense = rng.uniform(0.008, 0.04) * RATE
    tail *= rng.random(count) < np.minimum(np.square(at / dense), 1.0)
    tail[: round(rng.uniform(0.001, 0.004) * RATE)] = 0.0
    energy = float(np.sum(tail**2))
    tail *= 10 ** (-direct_to_rest_db / 20) / max(energy, 1e-9) ** 0.5
    tail[0] = 1.0
    return tail


def _heard(dry: Signal, taps: Signal) -> Signal:
    return np.asarray(fftconvolve(dry, taps)[: dry.size])


def _pause(rng: np.random.Generator) -> int:
    """Samples between two utterances: whole hops, short pauses as likely as ten times longer."""
    shortest, longest = _PAUSE_S
    seconds = shortest * float((longest / shortest) ** rng.random())
    return round(seconds * RATE) // HOP * HOP


def _faster(clip: NDArray[Any], speed: float) -> Signal:
    """Faster and higher by `speed`, as if another talker said it."""
    at = np.arange(int(clip.size / speed)) * speed
    return np.asarray(np.interp(at, np.arange(clip.size), clip.astype(np.float64)))


def _tilted(samples: Signal, tilt: float) -> Signal:
    """Brighter where `tilt` is over 0, duller under it."""
    return samples - tilt * np.concatenate(([0.0], samples[:-1]))
