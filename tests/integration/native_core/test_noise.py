"""Noise suppression: how much it takes, what it leaves alone, and how soon it knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from harken_models.core import BANDS, HOP, Cleaner

from .conftest import RATE
from .sounds import amplitude, cleaned, clipped, noise, power_db, tone

if TYPE_CHECKING:
    from .conftest import Samples

pytestmark = pytest.mark.integration

LEVELS = (-75, -60, -40, -20)


def kept(before: Samples, after: Samples) -> float:
    """Ratio of `before` to what is different in `after`, which is one hop late, in dB."""
    wrong = after[HOP:].astype(np.float64) - before[: after.size - HOP]
    return power_db(before) - float(10 * np.log10(np.mean(wrong**2) + 1e-9))


@pytest.mark.parametrize("level", LEVELS)
def test_steady_noise_goes_down_and_is_reported(level: int) -> None:
    cleaner = Cleaner()
    cleaner.switch(Cleaner.NOISE)
    mic = noise(8, amplitude(level))
    out, _ = cleaner.run(mic, None)
    assert power_db(mic) - power_db(out[4 * RATE :]) >= 12
    assert cleaner.noise_db() == pytest.approx(level, abs=1.5)


def test_what_is_left_of_noise_is_no_music() -> None:
    """Musical noise is lone bins that flare up: the tail of the powers says how many there are."""
    mic = noise(8, amplitude(-40))
    out = cleaned(mic, Cleaner.NOISE)

    def tail(samples: Samples) -> float:
        frames = samples[4 * RATE :].reshape(-1, 2 * HOP) * np.hanning(2 * HOP)
        powers = np.abs(np.fft.rfft(frames, axis=1))[:, 4:-4] ** 2
        return float(np.percentile(powers / powers.mean(axis=0), 99.9))

    # Gaussian noise has 6.9.
    assert tail(out) < 2 * tail(mic)


def test_clean_speech_is_left_alone(recording: Samples) -> None:
    speech = recording[: 30 * RATE]
    assert kept(speech, cleaned(speech, Cleaner.NOISE)) > 35


@pytest.mark.parametrize(("snr", "better"), [(0, 4), (5, 3.5), (10, 2)])
def test_speech_in_noise_comes_out_clearer(recording: Samples, snr: float, better: float) -> None:
    speech = recording[: 30 * RATE].astype(np.float64)
    mic = clipped(speech * 0.2 + noise(30, float(speech.std()) * 0.2 * 10 ** (-snr / 20)))
    out = cleaned(mic, Cleaner.NOISE)
    wanted = clipped(speech * 0.2)
    assert kept(wanted, out) - kept(wanted, np.concatenate([np.zeros(HOP, np.int16), mic])) > better


def test_noise_that_rises_is_followed() -> None:
    mic = np.concatenate([noise(4, amplitude(-60)), noise(6, amplitude(-40))])
    cleaner = Cleaner()
    cleaner.switch(Cleaner.NOISE)
    out, _ = cleaner.run(mic, None)
    assert cleaner.noise_db() == pytest.approx(-40, abs=2)
    assert power_db(out[-RATE:]) < -40 + 20 * np.log10(32768) - 12


def test_noise_that_falls_is_followed() -> None:
    cleaner = Cleaner()
    cleaner.run(np.concatenate([noise(4, amplitude(-30)), noise(2, amplitude(-60))]), None)
    assert cleaner.noise_db() == pytest.approx(-60, abs=2)


def test_a_muted_microphone_says_nothing_about_noise() -> None:
    cleaner = Cleaner()
    cleaner.switch(Cleaner.NOISE)
    cleaner.run(noise(4, amplitude(-40)), None)
    cleaner.run(np.zeros(10 * RATE, np.int16), None)
    assert cleaner.noise_db() == pytest.approx(-40, abs=2)


def test_noise_is_known_where_it_is_let_through() -> None:
    cleaner = Cleaner()
    cleaner.switch(0)
    mic = noise(4, amplitude(-50))
    out, _ = cleaner.run(mic, None)
    assert power_db(out[HOP:]) == pytest.approx(power_db(mic), abs=0.1)
    assert cleaner.noise_db() == pytest.approx(-50, abs=1.5)


def modelled(mic: Samples, gains: bytes) -> Samples:
    cleaner = Cleaner()
    cleaner.switch(Cleaner.NOISE)
    cleaner.gains(gains)
    return cleaner.run(mic, None)[0]


def test_a_models_gains_are_factors_of_the_amplitude() -> None:
    mic = tone(3, 1000, 10000)
    out = modelled(mic, bytes([128]) * BANDS)
    assert power_db(out[RATE:]) - power_db(mic) == pytest.approx(20 * np.log10(128 / 255), abs=0.3)


def test_a_models_gain_is_that_of_its_band() -> None:
    """Band 19 of the features' 40 has its middle at 1828 Hz."""
    gains = bytearray([255]) * BANDS
    gains[19] = 64
    heard = {}
    for hertz in (1000, 1828, 3000):
        mic = tone(3, hertz, 10000)
        heard[hertz] = power_db(modelled(mic, bytes(gains))[RATE:]) - power_db(mic)
    assert heard[1000] == pytest.approx(0, abs=0.3)
    assert heard[3000] == pytest.approx(0, abs=0.3)
    assert heard[1828] == pytest.approx(20 * np.log10(64 / 255), abs=2.5)


def test_a_models_nothing_is_the_floor_of_noise() -> None:
    mic = noise(4, amplitude(-30))
    lowered = power_db(mic) - power_db(modelled(mic, bytes(BANDS))[2 * RATE :])
    assert 12 <= lowered <= 25


def test_without_a_model_the_statistics_are_back() -> None:
    mic = noise(4, amplitude(-30))
    cleaner = Cleaner()
    cleaner.switch(Cleaner.NOISE)
    cleaner.gains(bytes([255]) * BANDS)
    assert power_db(cleaner.run(mic, None)[0][2 * RATE :]) == pytest.approx(power_db(mic), abs=0.2)
    cleaner.gains(None)
    assert power_db(mic) - power_db(cleaner.run(mic, None)[0][2 * RATE :]) >= 12
