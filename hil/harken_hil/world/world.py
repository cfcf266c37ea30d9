"""What one device hears: people in a room, a noise floor, and its own loudspeaker."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import numpy as np
from scipy.signal import fftconvolve  # type: ignore[import-untyped]

from harken.errors import RigError
from harken_hil.world.background import Background, Colour
from harken_hil.world.coupling import Coupling
from harken_models.scenes.loudspeaker import Loudspeaker
from harken_models.scenes.mix import level
from harken_models.scenes.room import RATE, Place, Response, Room

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from harken_hil.speech import Clip

BLOCK = 160
FULL_SCALE = 32_768
# Peaks below this (-50 dBFS) are silence: the residue of a codec, not something a person hears.
SILENCE_PEAK = 104


@dataclass(frozen=True, slots=True)
class Utterance:
    """A clip as the device's microphone gets it: the truth that marks are compared with.

    Attributes:
        text: what is said; empty where nobody knows.
        start: device sample at which the clip begins to arrive.
        onset: device sample of the first speech sample.
        end: device sample just after the last speech sample, reverberation not counted.
    """

    text: str
    start: int
    onset: int
    end: int


@dataclass(slots=True)
class _Sound:
    start: int
    samples: NDArray[np.float32]

    def mix_into(self, block: NDArray[np.float64], position: int) -> None:
        first = max(self.start, position)
        last = min(self.start + len(self.samples), position + len(block))
        if first < last:
            block[first - position : last - position] += self.samples[
                first - self.start : last - self.start
            ]


@dataclass(slots=True)
class World:
    """The sound at one device's microphone, made block by block as its clock runs.

    It is the microphone source of a simulated board: every block is asked for once, in order,
    together with what the loudspeaker plays during it.

    Attributes:
        room: where everything happens.
        noise_dbfs: level of the noise floor.
        coupling_db: the loudspeaker's direct sound at the microphone, relative to what is played.
        seed: of the noise; the same world twice gives the same samples.
        noise: the kind of noise.
        distortion: of the loudspeaker, 0..1; None: a perfect one, without a band even.
        skew_ppm: by how much the loudspeaker's clock is faster than the microphone's.
        talker_dbfs: RMS level of speech at the microphone, reverberation included.
    """

    room: Room
    noise_dbfs: float = -72.0
    coupling_db: float = -26.0
    seed: int = 1
    noise: Colour = "white"
    distortion: float | None = None
    skew_ppm: float = 0.0
    talker_dbfs: float = -26.0
    position: int = field(default=0, init=False)
    utterances: list[Utterance] = field(default_factory=list[Utterance], init=False)
    _sounds: list[_Sound] = field(default_factory=list[_Sound], init=False)
    _responses: dict[Place, Response] = field(default_factory=dict[Place, Response], init=False)
    _background: Background = field(init=False)
    _coupling: Coupling = field(init=False)
    _audible: int | None = field(default=None, init=False)
    _moved: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def __post_init__(self) -> None:
        self._background = Background(self.noise_dbfs, self.noise, self.seed)
        perfect = self.distortion is None
        loudspeaker = Loudspeaker(0, None) if perfect else Loudspeaker(self.distortion or 0)
        self._coupling = Coupling(self.room, loudspeaker, self.coupling_db, self.skew_ppm)

    def speak(
        self, clip: Clip, at: int, *, place: Place | None = None, level_dbfs: float | None = None
    ) -> Utterance:
        """Let somebody say `clip`.

        Args:
            clip: what is said.
            at: device sample at which its first sample reaches the microphone.
            place: where the talker stands; the room's own talker unless given.
            level_dbfs: RMS level of the speech at the microphone, reverberation included;
                `talker_dbfs` unless given.

        Raises:
            RigError: `at` has already passed, or the talker would stand outside the room.
        """
        heard = self._heard(clip.samples, place or self.room.talker)
        rms = float(np.sqrt(np.mean(heard[clip.onset : clip.end] ** 2)))
        wanted = self.talker_dbfs if level_dbfs is None else level_dbfs
        self._begin(at, heard * (10 ** (wanted / 20) * FULL_SCALE / max(1.0, rms)))
        utterance = Utterance(clip.text, at, at + clip.onset, at + clip.end)
        self.utterances.append(utterance)
        return utterance

    def play(
        self, samples: NDArray[np.int16], at: int, *, place: Place, level_dbfs: float = -40.0
    ) -> None:
        """Let something sound that nobody says to the device: music, an appliance, a television.

        Args:
            samples: int16 [n], 16 kHz.
            at: device sample at which the first of them reaches the microphone.
            place: where it comes from.
            level_dbfs: RMS level at the microphone, reverberation included, pauses left out.

        Raises:
            RigError: `at` has already passed, or the place is outside the room.
        """
        heard = self._heard(samples, place)
        self._begin(at, level(heard, level_dbfs))

    def _heard(self, samples: NDArray[np.int16], place: Place) -> NDArray[np.float64]:
        """What reaches the microphone, from the moment on at which it does."""
        response = self._response(place)
        heard = fftconvolve(samples.astype(np.float64), response.taps)[response.delay :]
        return cast("NDArray[np.float64]", heard)

    def _begin(self, at: int, heard: NDArray[np.float64]) -> None:
        if at < self.position:
            raise RigError(
                f"sample {at} has passed: the world is at {self.position}",
                hint="speak at or after the world's position",
            )
        self._sounds.append(_Sound(at, heard.astype(np.float32)))

    def block(self, n: int, played: NDArray[np.int16]) -> NDArray[np.int16]:
        """The microphone's next block.

        Args:
            n: its number; it begins at device sample `160 n`.
            played: int16 [160], what the loudspeaker plays during it.

        Returns:
            int16 [160], 16 kHz.

        Raises:
            RigError: a block was left out or asked for twice.
        """
        if n * BLOCK != self.position:
            raise RigError(f"block {n} was asked for, the world is at {self.position // BLOCK}")
        mixed = self._background.block(BLOCK) + self._coupling.block(played)
        for sound in self._sounds:
            sound.mix_into(mixed, self.position)
        loud = np.flatnonzero(np.abs(played.astype(np.int32)) >= SILENCE_PEAK)
        if len(loud):
            self._audible = self.position + int(loud[-1])
        self.position += BLOCK
        self._sounds = [s for s in self._sounds if s.start + len(s.samples) > self.position]
        self._moved.set()
        return np.clip(np.rint(mixed), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)

    @property
    def sounding(self) -> bool:
        """Whether anything is to be heard now but the noise floor and the loudspeaker."""
        return any(sound.start <= self.position for sound in self._sounds)

    async def reached(self, sample: int, *, within_s: float) -> None:
        """Wait until the world's clock has reached `sample`.

        Raises:
            RigError: the device's clock did not get there in time.
        """
        await self._until(lambda: self.position >= sample, within_s, f"device sample {sample}")

    async def heard(self, after: int, *, within_s: float) -> int:
        """Wait until the loudspeaker plays something after sample `after`.

        Returns:
            A device sample near the beginning of it.

        Raises:
            RigError: nothing is heard in time.
        """
        await self._until(
            lambda: self._audible is not None and self._audible > after,
            within_s,
            "anything from the loudspeaker",
        )
        assert self._audible is not None
        return self._audible

    async def hushed(self, samples: int, *, within_s: float) -> None:
        """Wait until the loudspeaker has been silent for `samples`.

        Raises:
            RigError: it is still playing when the time is over.
        """
        await self._until(
            lambda: self.position - (self._audible or 0) >= samples,
            within_s,
            "the loudspeaker to fall silent",
        )

    async def _until(self, true: Callable[[], bool], within_s: float, what: str) -> None:
        try:
            async with asyncio.timeout(within_s):
                while not true():
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            raise RigError(
                f"waited {within_s:g} s in vain for {what} (the device's clock is at "
                f"{self.position / RATE:.2f} s)",
                hint="the device's log and the gateway's log in the run's directory say more",
            ) from None

    def _response(self, place: Place) -> Response:
        if place not in self._responses:
            self._responses[place] = self.room.response(place)
        return self._responses[place]
