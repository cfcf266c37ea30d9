"""Automatic gain and limiter: the level speech is brought to, and that nothing else is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from harken_models.core import HOP, Cleaner

from .conftest import RATE
from .sounds import amplitude, clipped, noise, tone

if TYPE_CHECKING:
    from .conftest import Samples

pytestmark = pytest.mark.integration

CEILING = 29204
FULL_DB = float(20 * np.log10(32768))


def active_db(samples: Samples) -> float:
    """Mean power in dB of full scale over the hops that are at most 15 dB under it (ITU-T P.56)."""
    powers = np.mean(
        samples[: samples.size // HOP * HOP].reshape(-1, HOP).astype(np.float64) ** 2, 1
    )
    active = powers
    for _ in range(20):
        active = powers[powers > active.mean() * 10**-1.59]
    return float(10 * np.log10(active.mean())) - FULL_DB


def speech_at(recording: Samples, db: float) -> Samples:
    speech = recording[: 60 * RATE].astype(np.float64)
    room = np.random.default_rng(5).normal(0, 4, speech.size)
    return clipped(speech * 10 ** ((db - active_db(recording[: 60 * RATE])) / 20) + room)


@pytest.mark.parametrize("level", [-44, -38, -32, -26])
def test_speech_comes_out_at_the_same_level(recording: Samples, level: float) -> None:
    cleaner = Cleaner()
    out, _ = cleaner.run(speech_at(recording, level), None)
    assert active_db(out[20 * RATE :]) == pytest.approx(-20, abs=2.5)
    assert cleaner.gain_db() == pytest.approx(-20 - level, abs=4)


def test_the_gain_has_an_end(recording: Samples) -> None:
    cleaner = Cleaner()
    cleaner.run(speech_at(recording, -60), None)
    assert cleaner.gain_db() <= 24


def test_loud_speech_is_not_made_louder(recording: Samples) -> None:
    cleaner = Cleaner()
    cleaner.run(speech_at(recording, -16), None)
    assert cleaner.gain_db() == 0


@pytest.mark.parametrize("level", [-70, -50, -30])
def test_noise_is_not_lifted(level: float) -> None:
    cleaner = Cleaner()
    cleaner.run(noise(20, amplitude(level)), None)
    assert cleaner.gain_db() <= 1


def test_a_loud_room_bounds_the_gain(recording: Samples) -> None:
    cleaner = Cleaner()
    mic = speech_at(recording, -40).astype(np.float64)
    cleaner.run(clipped(mic + noise(mic.size / RATE, amplitude(-46))), None)
    assert cleaner.gain_db() + cleaner.noise_db() <= -30


def test_the_gain_rests_between_sentences(recording: Samples) -> None:
    cleaner = Cleaner()
    cleaner.run(speech_at(recording, -38), None)
    reached = cleaner.gain_db()
    cleaner.run(noise(10, 4), None)
    assert cleaner.gain_db() == reached
    assert reached > 12


def test_the_gain_rests_while_the_loudspeaker_alone_is_heard(recording: Samples) -> None:
    far = recording[: 20 * RATE]
    heard = np.convolve(far, [0.0] * 400 + [0.05, 0.02, -0.01])[: far.size]
    cleaner = Cleaner()
    cleaner.run(clipped(heard + noise(20, 4)), far)
    assert cleaner.gain_db() <= 3


def test_the_limiter_stays_under_its_ceiling(recording: Samples) -> None:
    """A shout and a slam after quiet speech, with all the gain there is."""
    cleaner = Cleaner()
    cleaner.run(speech_at(recording, -46), None)
    assert cleaner.gain_db() >= 20
    rng = np.random.default_rng(2)
    slam = np.zeros(RATE)
    slam[::1601] = rng.choice([-32768, 32767], slam[::1601].size)
    flags, heard = 0, bytearray()
    out = bytearray(2 * HOP)
    for sound in (tone(1, 500, 20000), clipped(slam), noise(1, 15000)):
        for start in range(0, sound.size, HOP):
            flags |= cleaner.step(sound[start : start + HOP].tobytes(), None, out, None)
            heard += out
    assert np.abs(np.frombuffer(heard, np.int16).astype(np.int32)).max() <= CEILING
    assert flags & Cleaner.LIMITED


def test_what_is_limited_keeps_its_shape(recording: Samples) -> None:
    """Its gain moves in lines, so that a steady tone that is too loud stays a tone."""
    cleaner = Cleaner()
    cleaner.switch(Cleaner.GAIN)
    cleaner.run(speech_at(recording, -46), None)
    assert cleaner.gain_db() >= 20
    out = cleaner.run(tone(2, 400, 8000), None)[0][RATE:].astype(np.float64)
    spectrum = np.abs(np.fft.rfft(out * np.hanning(out.size))) ** 2
    at = int(spectrum.argmax())
    other = spectrum.sum() - spectrum[at - 3 : at + 4].sum()
    assert 10 * np.log10(other / spectrum.sum()) < -30


def test_what_needs_no_limit_is_not_touched(recording: Samples) -> None:
    cleaner = Cleaner()
    cleaner.switch(Cleaner.GAIN)
    loud = np.clip(speech_at(recording, -12), -CEILING, CEILING).astype(np.int16)
    out, _ = cleaner.run(loud, None)
    assert cleaner.gain_db() == 0
    # Its first words might have been quiet ones.
    late = 10 * RATE
    assert np.array_equal(out[late + HOP :], loud[late:-HOP])
