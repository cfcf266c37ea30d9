"""Levels and mixtures: speech in noise, and a device that hears its own loudspeaker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from scipy.signal import fftconvolve as _fftconvolve  # type: ignore[import-untyped]

from harken.errors import RigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harken_models.scenes.loudspeaker import Loudspeaker
    from harken_models.scenes.room import Room

RATE = 16_000
FULL_SCALE = 32_768
_FRAME = 160
# Frames this far below the loudest one are pauses, and say nothing about how loud somebody talks.
_PAUSE_DB = 35.0
# Half the length of the interpolation kernel for a clock that runs at another rate.
_LOBES = 16

fftconvolve = cast("Any", _fftconvolve)


def active_rms(samples: NDArray[Any]) -> float:
    """RMS of what is not a pause, in the samples' unit; 0 where there is nothing.

    Args:
        samples: [n], 16 kHz; frames of 10 ms more than 35 dB below the loudest are left out.
    """
    x = samples.astype(np.float64)
    if len(x) == 0:
        return 0.0
    padded = np.concatenate([x, np.zeros(-len(x) % _FRAME)])
    powers: NDArray[np.float64] = np.mean(padded.reshape(-1, _FRAME) ** 2, axis=1)
    loud = powers >= float(powers.max()) * 10 ** (-_PAUSE_DB / 10)
    return float(np.sqrt(np.mean(powers[loud])))


def level(samples: NDArray[Any], dbfs: float) -> NDArray[np.float64]:
    """The samples at a level.

    Args:
        samples: [n], 16 kHz.
        dbfs: wanted RMS of what is not a pause; a full-scale square wave has 0.

    Returns:
        float64 [n] in int16 units, not limited to their range; silence stays silence.
    """
    rms = active_rms(samples)
    gain = 0.0 if rms == 0 else 10 ** (dbfs / 20) * FULL_SCALE / rms
    return samples.astype(np.float64) * gain


def at_snr(speech: NDArray[Any], noise: NDArray[Any], snr_db: float) -> NDArray[np.float64]:
    """Speech in noise.

    Args:
        speech: [n], 16 kHz; keeps its level.
        noise: [m], 16 kHz; repeated where it is shorter than the speech, cut where it is longer.
        snr_db: RMS of the speech without its pauses over RMS of the noise.

    Returns:
        float64 [n], not limited to int16's range.

    Raises:
        RigError: there is no noise at all.
    """
    if len(noise) == 0:
        raise RigError("there is no noise to mix with", hint="give at least one sample of it")
    long = np.resize(noise, len(speech)).astype(np.float64)
    rms = float(np.sqrt(np.mean(long**2))) if len(long) else 0.0
    gain = 0.0 if rms == 0 else active_rms(speech) / rms * 10 ** (-snr_db / 20)
    return speech.astype(np.float64) + long * gain


def to_int16(samples: NDArray[np.float64]) -> NDArray[np.int16]:
    """Rounded, and clipped as a microphone's converter clips."""
    return np.clip(np.rint(samples), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def skewed(samples: NDArray[Any], ppm: float, delay: float = 0.0) -> NDArray[np.float64]:
    """What a clock that runs `ppm` too fast plays, heard by one that runs right.

    Args:
        samples: [n], 16 kHz.
        ppm: millionths by which the player's clock is fast; negative where it is slow.
        delay: samples, whole or not, by which everything comes later.

    Returns:
        float64 [n]; zero where the player has not begun, or has nothing left to play.
    """
    x = samples.astype(np.float64)
    if ppm == 0 and float(delay).is_integer():
        shift = int(delay)
        return np.concatenate([np.zeros(shift), x])[: len(x)]
    at = (np.arange(len(x)) - delay) * (1 + ppm * 1e-6)
    whole = np.floor(at).astype(np.int64)
    padded = np.concatenate([np.zeros(_LOBES), x, np.zeros(_LOBES)])
    # Tap k reads sample whole + k, which stands at whole + k + _LOBES after the padding.
    played = np.zeros(len(x))
    inside = (whole >= -_LOBES + 1) & (whole < len(x))
    for k in range(1 - _LOBES, _LOBES + 1):
        distance = at - whole - k
        window = np.cos(np.pi * distance / (2 * _LOBES)) ** 2
        index = np.clip(whole + k + _LOBES, 0, len(padded) - 1)
        played += np.where(inside, padded[index] * np.sinc(distance) * window, 0)
    return played


@dataclass(frozen=True, slots=True)
class EchoScene:
    """A device that plays while somebody may be talking.

    Attributes:
        mic: int16 [n], 16 kHz, what the microphone's converter gives: echo + near + noise, clipped.
        reference: int16 [n], what the device knows that it plays.
        echo: float64 [n], the loudspeaker's part in `mic`.
        near: float64 [n], the talker's part, reverberation included.
        noise: float64 [n], the rest.
        delay: samples from the reference to its first sound in `mic`, at the scene's start.
    """

    mic: NDArray[np.int16]
    reference: NDArray[np.int16]
    echo: NDArray[np.float64]
    near: NDArray[np.float64]
    noise: NDArray[np.float64]
    delay: int


def echo_scene(  # noqa: PLR0913  # a scene has that many sides
    rng: np.random.Generator,
    far: NDArray[Any],
    near: NDArray[Any] | None,
    room: Room,
    loudspeaker: Loudspeaker,
    delay_ms: float,
    echo_to_near_db: float,
    skew_ppm: float = 0.0,
    *,
    near_dbfs: float = -26.0,
    noise_dbfs: float = -72.0,
) -> EchoScene:
    """What a device in `room` hears of itself and of a talker.

    Args:
        rng: draws the noise floor.
        far: [n], 16 kHz, int16 units, what the device plays, at the level at which it is played
            (distortion grows with it).
        near: [m], 16 kHz, dry speech with silence where nobody talks; cut or filled up to n; None
            where nobody does. It is heard from the room's talker.
        room: whose reverberation both get.
        loudspeaker: is reset first.
        delay_ms: from the reference to the loudspeaker, the air not counted.
        echo_to_near_db: level of the echo over the talker's at the microphone, both without
            pauses and with reverberation; where nobody talks, over `near_dbfs`.
        skew_ppm: by how much the loudspeaker's clock is faster than the microphone's.
        near_dbfs: level of the talker at the microphone.
        noise_dbfs: level of white noise.

    Raises:
        RigError: the room cannot sound as asked, or the delay is negative.
    """
    if delay_ms < 0:
        raise RigError(f"an echo that comes {-delay_ms:g} ms early", hint="give a delay from 0 on")
    n = len(far)
    loudspeaker.reset()
    radiated = skewed(loudspeaker.play(far), skew_ppm, delay_ms * RATE / 1000)
    path = room.response(room.loudspeaker)
    echo = level(fftconvolve(radiated, path.taps)[:n], near_dbfs + echo_to_near_db)
    talk = np.zeros(n)
    if near is not None:
        some = near[:n].astype(np.float64)
        response = room.response(room.talker)
        heard = fftconvolve(some, response.taps)[response.delay :][:n]
        talk[: len(heard)] = level(heard, near_dbfs)
    noise = rng.standard_normal(n) * 10 ** (noise_dbfs / 20) * FULL_SCALE
    return EchoScene(
        mic=to_int16(echo + talk + noise),
        reference=to_int16(far.astype(np.float64)),
        echo=echo,
        near=talk,
        noise=noise,
        delay=round(delay_ms * RATE / 1000) + path.delay,
    )
