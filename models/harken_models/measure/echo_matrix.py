"""Scenes in which a device hears its own loudspeaker: rooms, delays, distortion, levels, talkers.

Each scene is one recording in four stretches, taken by a canceller from a fresh start: the far end
alone (it must be learnt), both talking, the far end alone again, the near talker alone.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from harken_models.measure.talk import Cast
from harken_models.scenes.corpora import RATE, music
from harken_models.scenes.loudspeaker import Loudspeaker
from harken_models.scenes.mix import echo_scene, level, to_int16
from harken_models.scenes.room import random_room

if TYPE_CHECKING:
    from harken_models.scenes.mix import EchoScene

    Samples = np.ndarray[tuple[int], np.dtype[np.int16]]

__all__ = [
    "BOTH",
    "CONVERGED",
    "FAR",
    "LENGTH_S",
    "NEAR",
    "EchoCase",
    "HeardScene",
    "cases",
    "hear",
]

FAR: Final = slice(0, 8 * RATE)
CONVERGED: Final = slice(4 * RATE, 8 * RATE)
BOTH: Final = slice(8 * RATE, 18 * RATE)
NEAR: Final = slice(20 * RATE, 25 * RATE)
LENGTH_S: Final = 25.0

_DELAYS_MS: Final = (0, 20, 60, 120, 180, 250)
_DISTORTIONS: Final = (0.0, 0.2, 0.5)
_ECHO_TO_NEAR_DB: Final = (-6.0, 0.0, 6.0, 12.0)
_NOISE_DBFS: Final = (-72.0, -72.0, -60.0)
_NEAR_DBFS: Final = (-26.0, -30.0, -22.0)
_FAR_DBFS: Final = -18.0
_DRIFT_PPM: Final = 100.0
# The far end keeps talking: what is far alone must hold echo all along.
_FAR_PAUSE_S: Final = (0.05, 0.25)
_NEAR_PAUSE_S: Final = (0.2, 0.6)
_MOST_SPOKEN: Final = "allison-smith"
# Others whose recordings are long enough to talk over somebody.
_OTHERS: Final = ("sphinx-librivox", "volunteer-uk", "volunteer-el", "volunteer-en", "volunteer-gl")
_READER: Final = "sphinx-librivox"


@dataclass(frozen=True, slots=True)
class EchoCase:
    """What makes a scene.

    Attributes:
        seed: of its room, its words and its noise.
        delay_ms: from the reference to the loudspeaker.
        distortion: of the loudspeaker, 0..1.
        echo_to_near_db: how much louder the echo is than the near talker, at the microphone.
        near_dbfs, noise_dbfs: levels at the microphone.
        skew_ppm: by how much the loudspeaker's clock is fast.
        far: who plays: a talker, or a piece of music.
        near: who talks over it.
    """

    seed: int
    delay_ms: int
    distortion: float
    echo_to_near_db: float
    near_dbfs: float
    noise_dbfs: float
    skew_ppm: float
    far: str
    near: str


@dataclass(frozen=True, slots=True, eq=False)
class HeardScene:
    """A scene, ready to be taken by a canceller.

    Attributes:
        case: what it was made from.
        sound: microphone, reference and their parts.
        rt60_s: the room's reverberation.
        talker_m: how far away the near talker stands.
        text: what the near talker says in `BOTH`, "" where nobody knows.
    """

    case: EchoCase
    sound: EchoScene
    rt60_s: float
    talker_m: float
    text: str

    def perfect(self) -> Samples:
        """What a canceller would give that took out the echo and nothing else: int16 [n]."""
        return to_int16(self.sound.near + self.sound.noise)

    def row(self) -> dict[str, Any]:
        """What the scene was, for a table."""
        return asdict(self.case) | {
            "rt60_s": round(self.rt60_s, 3),
            "talker_m": round(self.talker_m, 2),
        }


def cases(count: int) -> list[EchoCase]:
    """The first scenes of the matrix.

    Every delay meets every distortion; levels, noise and talkers go round beside them, each with a
    period of its own. One scene in eight drifts by 100 ppm.

    Args:
        count: how many; 72 meet every delay and distortion four times.
    """
    return [_case(at) for at in range(count)]


def _case(at: int) -> EchoCase:
    # Steps that share no factor with the number of choices visit all of them, evenly mixed.
    turn = at // (len(_DELAYS_MS) * len(_DISTORTIONS))
    far, near = _talkers(at)
    return EchoCase(
        seed=1_000 + at,
        delay_ms=_DELAYS_MS[(5 * at + turn) % len(_DELAYS_MS)],
        distortion=_DISTORTIONS[(at // len(_DELAYS_MS) + at) % len(_DISTORTIONS)],
        echo_to_near_db=_ECHO_TO_NEAR_DB[(3 * at + turn) % len(_ECHO_TO_NEAR_DB)],
        near_dbfs=_NEAR_DBFS[(at + turn) % len(_NEAR_DBFS)],
        noise_dbfs=_NOISE_DBFS[(2 * at + turn) % len(_NOISE_DBFS)],
        skew_ppm=_DRIFT_PPM if at % 8 == 5 else 0.0,
        far=far,
        near=near,
    )


def _talkers(at: int) -> tuple[str, str]:
    """Far and near of a scene: never the same person."""
    if at % 3 == 0:
        return _MOST_SPOKEN, _OTHERS[at // 3 % len(_OTHERS)]
    if at % 3 == 1:
        return _OTHERS[at // 3 % len(_OTHERS)], _MOST_SPOKEN
    return "music", _MOST_SPOKEN if at % 2 else _READER


@lru_cache(maxsize=1)
def _cast() -> Cast:
    return Cast("test", 0.6, 8.0, lambda clip: clip.talker in {_MOST_SPOKEN, *_OTHERS})


@lru_cache(maxsize=1)
def _english() -> Cast:
    """Those whose words are known, in the language that the speech recogniser knows."""
    return Cast("test", 1.0, 7.0, lambda clip: clip.language == "en" and _plain(clip.text))


def _plain(text: str | None) -> bool:
    """Whether what is written is what is spoken: no digits, no signs."""
    return text is not None and re.fullmatch(r"[A-Za-z ,.'?!-]+", text) is not None


def hear(case: EchoCase) -> HeardScene:
    """Make the scene of a case; the same case always sounds the same.

    Raises:
        StartError: speech, music or the acoustics are not installed.
    """
    rng = np.random.default_rng(case.seed)
    room = random_room(rng)
    far = level(_far(case.far, rng), _FAR_DBFS)
    near, text = _near(case.near, rng)
    sound = echo_scene(
        rng,
        far,
        near,
        room,
        Loudspeaker(case.distortion),
        case.delay_ms,
        case.echo_to_near_db,
        case.skew_ppm,
        near_dbfs=case.near_dbfs,
        noise_dbfs=case.noise_dbfs,
    )
    return HeardScene(case, sound, room.rt60_s, room.talker.distance_m(room.device), text)


def _far(who: str, rng: np.random.Generator) -> Samples:
    """Plays until the near talker is to be alone."""
    until = NEAR.start
    samples = np.zeros(round(LENGTH_S * RATE), np.int16)
    if who == "music":
        pieces = list(music("test"))
        piece = pieces[int(rng.integers(len(pieces)))].samples
        start = int(rng.integers(RATE, len(piece) - until))
        samples[:until] = piece[start : start + until]
    else:
        samples[:until] = _cast().talk(who, until / RATE, rng, _FAR_PAUSE_S).samples
    return samples


def _near(who: str, rng: np.random.Generator) -> tuple[Samples, str]:
    """Talks over the far end, and again once it is silent."""
    samples = np.zeros(round(LENGTH_S * RATE), np.int16)
    both = (BOTH.stop - BOTH.start) / RATE
    people = _english() if who in _english().by_talker else _cast()
    over = people.talk(who, both, rng, _NEAR_PAUSE_S)
    samples[BOTH] = over.samples
    samples[NEAR] = people.talk(who, (NEAR.stop - NEAR.start) / RATE, rng, _NEAR_PAUSE_S).samples
    return samples, over.text
