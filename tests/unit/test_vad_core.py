"""Where the device hears speech begin and end, in noise of several kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from harken_models.core import HOP, Vad

if TYPE_CHECKING:
    from collections.abc import Callable

    Signal = np.ndarray[tuple[int], np.dtype[np.float64]]

RATE = 16000
HANGOVER_MS = 400
LEAD_S, TAIL_S = 2.0, 3.0
MOST_LAG_MS = 50
LEVEL = 2000.0


def voice(seconds: float, rng: np.random.Generator) -> Signal:
    """Syllables of a gliding harmonic voice, of RMS 1, ending at full strength."""
    count = int(seconds * RATE) // HOP * HOP
    at = np.arange(count) / RATE
    pitch = (
        2 * np.pi * np.cumsum(140 + 40 * np.sin(2 * np.pi * 0.9 * at + rng.uniform(0, 6))) / RATE
    )
    formant = 700 + 400 * np.sin(2 * np.pi * 1.7 * at)
    tones = np.zeros(count)
    for harmonic in range(1, 24):
        distance = (harmonic * 140 - formant) / 500
        tones += np.exp(-(distance**2)) * np.sin(harmonic * pitch)
    # 4.5 syllables a second, with the dips of connected speech.
    envelope = 0.15 + 0.85 * np.abs(np.sin(np.pi * 4.5 * (seconds - at) + np.pi / 2))
    sound = tones * envelope
    scaled: Signal = sound / np.sqrt(np.mean(sound**2))
    return scaled


def white(count: int, rng: np.random.Generator) -> Signal:
    return rng.standard_normal(count)


def pink(count: int, rng: np.random.Generator) -> Signal:
    return _shaped(count, rng, 0.5)


def brown(count: int, rng: np.random.Generator) -> Signal:
    return _shaped(count, rng, 1.0)


def _shaped(count: int, rng: np.random.Generator, power: float) -> Signal:
    spectrum = np.fft.rfft(rng.standard_normal(count))
    hertz = np.maximum(np.fft.rfftfreq(count, 1 / RATE), 20.0)
    sound: Signal = np.fft.irfft(spectrum / hertz**power, count)
    return sound / np.std(sound)


def scene(noise: Callable[[int, np.random.Generator], Signal], snr_db: float, seed: int) -> Signal:
    rng = np.random.default_rng(seed)
    speech = voice(1.5 + 0.25 * (seed % 5), rng)
    lead, tail = int(LEAD_S * RATE), int(TAIL_S * RATE)
    sound = LEVEL * 10 ** (-snr_db / 20) * noise(lead + speech.size + tail, rng)
    sound[lead : lead + speech.size] += LEVEL * speech
    return sound


def flags(sound: Signal, vad: Vad) -> list[int]:
    pcm = np.clip(sound, -32768, 32767).astype(np.int16)
    return [vad.step(hop.tobytes(), -1) for hop in pcm[: pcm.size // HOP * HOP].reshape(-1, HOP)]


def tuned() -> Vad:
    vad = Vad()
    vad.tune(9, HANGOVER_MS)
    return vad


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("snr_db", [30, 20, 15, 10])
@pytest.mark.parametrize("noise", [white, pink, brown])
def test_speech_end_is_found_in_time(
    noise: Callable[[int, np.random.Generator], Signal], snr_db: float, seed: int
) -> None:
    heard = flags(scene(noise, snr_db, seed), tuned())
    inside = [n for n, flag in enumerate(heard) if flag & Vad.UTTERANCE]
    begins = int(LEAD_S * 100)
    ends = len(heard) - int(TAIL_S * 100)
    assert inside, "the utterance was missed"
    assert inside == list(range(inside[0], inside[-1] + 1)), "it was heard as several"
    assert begins <= inside[0] <= begins + 15
    lag_ms = (inside[-1] + 1 - ends) * 10 - HANGOVER_MS
    assert -100 <= lag_ms <= MOST_LAG_MS


@pytest.mark.parametrize("noise", [white, pink, brown])
def test_noise_alone_is_no_speech(noise: Callable[[int, np.random.Generator], Signal]) -> None:
    rng = np.random.default_rng(3)
    assert not any(flags(800 * noise(60 * RATE, rng), Vad()))


def test_a_click_does_not_open_an_utterance() -> None:
    sound = 20 * white(4 * RATE, np.random.default_rng(1))
    sound[RATE * 2 : RATE * 2 + 40] += 20000
    assert not any(flag & Vad.UTTERANCE for flag in flags(sound, Vad()))


def test_digital_silence_is_nothing_at_all() -> None:
    vad = Vad()
    assert not any(flags(np.zeros(RATE), vad))
    assert vad.level_db() == -96
    # A muted stretch does not pull the floor down: the noise after it stays noise.
    noise = 300 * white(3 * RATE, np.random.default_rng(2))
    flags(noise, vad)
    floor = vad.floor_db()
    flags(np.zeros(RATE), vad)
    assert vad.floor_db() == floor
    assert not any(flags(noise, vad))


def test_the_floor_follows_a_louder_room_within_its_window() -> None:
    rng = np.random.default_rng(4)
    vad = Vad()
    flags(100 * white(4 * RATE, rng), vad)
    quiet = vad.floor_db()
    heard = flags(1000 * white(4 * RATE, rng), vad)
    assert vad.floor_db() - quiet == pytest.approx(20, abs=2)
    assert not any(flag & Vad.SPEECH for flag in heard[-100:])


def test_levels_are_decibels_of_full_scale() -> None:
    at = np.arange(RATE) / RATE
    for amplitude_db in (-1, -10, -20, -40, -60):
        vad = Vad()
        flags(32767 * 10 ** (amplitude_db / 20) * np.sin(2 * np.pi * 1000 * at), vad)
        # A sine lies 3 dB under a square wave; the band takes 0.5 dB at 1 kHz.
        assert vad.level_db() == pytest.approx(amplitude_db - 3.4, abs=1)


def test_hangover_is_what_was_asked_for() -> None:
    for hangover_ms in (0, 100, 900):
        vad = Vad()
        vad.tune(-1, hangover_ms)
        heard = flags(scene(white, 30, 1), vad)
        speech = [n for n, flag in enumerate(heard) if flag & Vad.SPEECH]
        inside = [n for n, flag in enumerate(heard) if flag & Vad.UTTERANCE]
        assert inside[-1] - speech[-1] == hangover_ms // 10


def test_reset_keeps_the_tuning_and_forgets_the_room() -> None:
    vad = tuned()
    first = flags(scene(pink, 15, 2), vad)
    vad.reset()
    assert flags(scene(pink, 15, 2), vad) == first


@pytest.mark.parametrize("wrong", [(0, 100), (61, 100), (9, -2), (9, 10001), (1 << 40, 1)])
def test_tuning_out_of_range_is_refused(wrong: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="threshold_db"):
        Vad().tune(*wrong)
