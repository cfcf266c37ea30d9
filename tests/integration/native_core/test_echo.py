"""The echo canceller: what it learns, what it follows, and what cannot make it do harm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from harken_models.core import HOP, Cleaner
from harken_models.scenes.mix import skewed

from .conftest import RATE
from .sounds import FULL, clipped, noise, tone

if TYPE_CHECKING:
    from .conftest import Samples

    Signal = np.ndarray[tuple[int], np.dtype[np.float64]]

pytestmark = pytest.mark.integration

ROOM_S = 0.2
SECONDS = 8


def room(seed: int = 1) -> Signal:
    """The direct sound, and reverberation 12 dB below it that takes 0.3 s to die away."""
    at = np.arange(round(ROOM_S * RATE))
    taps: Signal = np.random.default_rng(seed).standard_normal(at.size) * 10 ** (
        -3 * at / 0.3 / RATE
    )
    taps *= 0.25 / np.sqrt(np.sum(taps**2))
    taps[0] = 1
    return taps


def echo_of(far: np.ndarray[Any, Any], delay_ms: float, gain: float = 0.5, seed: int = 1) -> Signal:
    """What the microphone hears of `far`."""
    late = np.concatenate([np.zeros(round(delay_ms * RATE / 1000)), far])[: far.size]
    size = 1 << (late.size + round(ROOM_S * RATE)).bit_length()
    heard = np.fft.irfft(np.fft.rfft(late, size) * np.fft.rfft(room(seed), size), size)
    return gain * heard[: far.size]


@pytest.fixture(scope="module")
def far(recording: Samples) -> Samples:
    return recording[: SECONDS * RATE]


@pytest.fixture(scope="module")
def near(recording: Samples) -> Samples:
    return recording[30 * RATE : (30 + SECONDS) * RATE]


class Heard:
    """A canceller's output, with what it said of itself hop by hop."""

    def __init__(self, mic: Samples, reference: Samples | None) -> None:
        cleaner = Cleaner()
        cleaner.switch(Cleaner.ECHO)
        self.flags: list[int] = []
        self.delays_ms: list[int] = []
        out, linear = bytearray(2 * HOP), bytearray(2 * HOP)
        parts: list[bytes] = []
        for start in range(0, mic.size // HOP * HOP, HOP):
            hop = slice(start, start + HOP)
            played = None if reference is None else reference[hop].tobytes()
            self.flags.append(cleaner.step(mic[hop].tobytes(), played, out, linear))
            self.delays_ms.append(cleaner.delay_ms())
            parts.append(bytes(linear))
        self.linear = np.frombuffer(b"".join(parts), np.int16)
        self.erle_db = cleaner.erle_db()

    def share(self, flag: int, start_s: float, end_s: float) -> float:
        """Part of the hops in which it was raised."""
        hops = self.flags[round(start_s * 100) : round(end_s * 100)]
        return sum((each & flag) != 0 for each in hops) / len(hops)


def without_echo(mic: Samples, reference: Samples) -> tuple[Samples, Samples]:
    """What the suppressor of residual echo gives, in time with `mic`, and the canceller alone."""
    cleaner = Cleaner()
    cleaner.switch(Cleaner.ECHO + Cleaner.SUPPRESS)
    more = np.zeros(HOP, np.int16)
    out, linear = cleaner.run(np.concatenate([mic, more]), np.concatenate([reference, more]))
    return out[HOP:], linear[: mic.size]


def seconds(samples: np.ndarray[Any, Any], start: float, end: float) -> np.ndarray[Any, Any]:
    return samples[round(start * RATE) : round(end * RATE)]


def lowered_db(before: np.ndarray[Any, Any], after: np.ndarray[Any, Any]) -> float:
    powers = [np.mean(each.astype(np.float64) ** 2) for each in (before, after)]
    return float(10 * np.log10((powers[0] + 0.01) / (powers[1] + 0.01)))


def kept_db(talk: np.ndarray[Any, Any], out: Samples) -> float:
    """How much of the talker is in `out`, by correlation, in the loudest four half seconds."""
    half = RATE // 2
    said = talk[: talk.size // half * half].astype(np.float64).reshape(-1, half)
    heard = out[: said.size].astype(np.float64).reshape(-1, half)
    loudest = np.argsort(np.sum(said**2, axis=1))[-4:]
    alike = np.sum(said[loudest] * heard[loudest]) / np.sum(said[loudest] ** 2)
    return float(20 * np.log10(max(alike, 1e-3)))


def does_no_harm(mic: Samples, linear: Samples) -> bool:
    """Whether no half second came out over 1 dB louder than it went in, unless still soft."""
    half = RATE // 2
    size = linear.size // half * half
    came = np.mean(mic[:size].astype(np.float64).reshape(-1, half) ** 2, axis=1)
    left = np.mean(linear[:size].astype(np.float64).reshape(-1, half) ** 2, axis=1)
    return bool(np.all((left <= came * 10**0.1) | (left < 10**2)))


@pytest.mark.parametrize("delay_ms", [0, 35, 95, 170, 252])
def test_echo_is_learnt_and_its_delay_found(far: Samples, delay_ms: int) -> None:
    mic = clipped(echo_of(far, delay_ms) + noise(SECONDS, 5))
    heard = Heard(mic, far)
    reached = lowered_db(seconds(mic, 4, 8), seconds(heard.linear, 4, 8))
    assert reached > 18
    assert heard.erle_db == pytest.approx(reached, abs=6)
    assert heard.delays_ms[-1] == pytest.approx(delay_ms, abs=10)
    assert heard.share(Cleaner.CANCELLING, 4, 8) > 0.9
    assert heard.share(Cleaner.CONVERGED, 4, 8) > 0.9
    assert heard.share(Cleaner.NEAR, 2, 8) < 0.05
    assert does_no_harm(mic, heard.linear)


@pytest.mark.parametrize("gain", [0.05, 2.0])
def test_soft_and_loud_echo(far: Samples, gain: float) -> None:
    mic = clipped(echo_of(far // 4, 60, gain))
    heard = Heard(mic, far // 4)
    assert lowered_db(seconds(mic, 4, 8), seconds(heard.linear, 4, 8)) > 12


def test_a_near_talker_is_kept_and_told(far: Samples, near: Samples) -> None:
    echo = echo_of(far, 60)
    talk = np.zeros(far.size)
    talk[4 * RATE :] = 0.5 * near[: 4 * RATE]
    mic = clipped(echo + talk + noise(SECONDS, 5))
    heard = Heard(mic, far)
    both = slice(4 * RATE, 8 * RATE)
    assert lowered_db(echo[both], heard.linear[both] - talk[both]) > 12
    loud = np.sqrt(np.mean(talk.reshape(-1, HOP) ** 2, axis=1)) > 300
    told = np.array([(flag & Cleaner.NEAR) != 0 for flag in heard.flags])
    assert told[loud].mean() > 0.6
    assert told[100:400].mean() < 0.05


def test_a_jump_of_the_delay_is_followed(far: Samples) -> None:
    reference = np.concatenate([far, far])
    echo = np.concatenate([echo_of(far, 40), echo_of(far, 187)])
    mic = clipped(echo + noise(2 * SECONDS, 5))
    heard = Heard(mic, reference)
    assert lowered_db(seconds(mic, 12, 16), seconds(heard.linear, 12, 16)) > 15
    assert heard.delays_ms[-1] == pytest.approx(187, abs=10)
    assert does_no_harm(mic, heard.linear)


def test_a_delay_that_stays_is_not_moved(far: Samples) -> None:
    heard = Heard(clipped(echo_of(far, 128) + noise(SECONDS, 5)), far)
    found = np.array(heard.delays_ms[300:])
    assert np.ptp(found) <= 10


@pytest.mark.parametrize("ppm", [100, -100])
def test_drifting_clocks_are_followed(recording: Samples, ppm: int) -> None:
    minutes = np.tile(recording[: 60 * RATE], 3)
    mic = clipped(echo_of(skewed(minutes, ppm), 90) + noise(180, 5))
    cleaner = Cleaner()
    cleaner.switch(Cleaner.ECHO)
    linear = cleaner.run(mic, minutes)[1]
    for start in range(5, 165, 20):
        heard = seconds(mic, start, start + 20), seconds(linear, start, start + 20)
        assert lowered_db(*heard) > 12
    assert cleaner.delay_ms() == pytest.approx(90 - 180_000 * ppm * 1e-6, abs=10)


def test_another_room_is_learnt(far: Samples) -> None:
    reference = np.concatenate([far, far])
    echo = np.concatenate([echo_of(far, 40), -echo_of(far, 43, 0.8, seed=2)])
    mic = clipped(echo + noise(2 * SECONDS, 5))
    heard = Heard(mic, reference)
    assert lowered_db(seconds(mic, 12, 16), seconds(heard.linear, 12, 16)) > 15
    assert does_no_harm(mic, heard.linear)


def test_without_a_reference_sound_passes_untouched(near: Samples) -> None:
    heard = Heard(near, None)
    assert np.array_equal(heard.linear, near)
    assert not any(heard.flags)
    assert np.array_equal(Heard(near, np.zeros_like(near)).linear, near)


def test_a_silent_reference_goes_idle_and_comes_back(far: Samples, near: Samples) -> None:
    quiet = np.zeros_like(far)
    reference = np.concatenate([far, quiet, far])
    mic = clipped(np.concatenate([echo_of(far, 60), near, echo_of(far, 60)]))
    heard = Heard(mic, reference)
    alone = slice(9 * RATE, 16 * RATE)
    assert np.array_equal(heard.linear[alone], mic[alone])
    assert heard.share(Cleaner.CANCELLING, 9, 16) == 0
    # What was learnt is still known.
    assert lowered_db(seconds(mic, 16, 20), seconds(heard.linear, 16, 20)) > 15


@pytest.mark.parametrize(
    "sound",
    ["square", "offset", "tone", "noise", "clicks", "loudest", "silence"],
)
@pytest.mark.parametrize("plays", ["speech", "square", "the same", "silence"])
def test_no_sound_makes_it_do_harm(far: Samples, sound: str, plays: str) -> None:
    at = np.arange(far.size)
    sounds = {
        "square": np.where(at // 37 % 2, FULL, -FULL - 1),
        "offset": np.full(far.size, -FULL - 1),
        "tone": tone(SECONDS, 1000, 30000),
        "noise": noise(SECONDS, 9000),
        "clicks": np.where(at % 1600 == 0, FULL, 0),
        "loudest": np.where(at % 2, FULL, -FULL - 1),
        "silence": np.zeros(far.size),
    }
    mic = clipped(sounds[sound])
    reference = {
        "speech": far,
        "square": clipped(sounds["square"]),
        "the same": mic,
        "silence": np.zeros_like(mic),
    }[plays]
    out, linear = without_echo(mic, reference)
    assert does_no_harm(mic, linear)
    assert does_no_harm(mic, out)


# Where the canceller cannot tell a talker from echo, the suppressor may lower him, but not mute
# him: what it takes for echo alone it lowers by up to 40 dB. Where no echo of the reference can be
# found, there is next to nothing to lower him for.
LOWERED_DB = 10
SPARED_DB = 6


def test_clipped_echo_is_no_worse_than_before(far: Samples, near: Samples) -> None:
    echo = 20 * echo_of(far, 60)
    assert np.mean(np.abs(clipped(echo).astype(np.int32)) >= FULL) > 0.02
    for talk in (0 * near.astype(np.float64), 2 * near.astype(np.float64)):
        mic = clipped(echo + talk)
        out, linear = without_echo(mic, far)
        assert does_no_harm(mic, linear)
        assert does_no_harm(mic, out)
    assert kept_db(talk, out) > -LOWERED_DB


@pytest.mark.parametrize("late_ms", [100, -400, -600])
def test_a_reference_that_is_out_of_reach_does_no_harm(
    far: Samples, near: Samples, late_ms: int
) -> None:
    """Later than its echo, or earlier by more than the delay that is looked for."""
    late = np.concatenate([np.zeros(max(late_ms, 0) * RATE // 1000, np.int16), far])[: far.size]
    talk = 0.5 * near.astype(np.float64)
    mic = clipped(echo_of(far, max(-late_ms, 0)) + talk)
    out, linear = without_echo(mic, late)
    assert does_no_harm(mic, linear)
    assert abs(lowered_db(mic, linear)) < 1
    assert does_no_harm(mic, out)
    assert kept_db(talk, out) > -SPARED_DB


def test_another_sound_than_what_plays_does_no_harm(far: Samples, near: Samples) -> None:
    out, linear = without_echo(near, far)
    assert does_no_harm(near, linear)
    assert abs(lowered_db(near, linear)) < 1
    assert does_no_harm(near, out)
    assert kept_db(near, out) > -SPARED_DB


def test_echo_is_suppressed_before_it_is_learnt(far: Samples) -> None:
    mic = clipped(echo_of(far, 60) + noise(SECONDS, 5))
    out, linear = without_echo(mic, far)
    early = lowered_db(seconds(mic, 0.5, 2), seconds(out, 0.5, 2))
    assert early > lowered_db(seconds(mic, 0.5, 2), seconds(linear, 0.5, 2)) + 10


def test_reset_forgets_everything(far: Samples) -> None:
    mic = clipped(echo_of(far, 60))
    cleaner = Cleaner()
    first = cleaner.run(mic, far)[1]
    again = cleaner.run(mic, far)[1]
    assert not np.array_equal(first, again)
    cleaner.reset()
    assert np.array_equal(cleaner.run(mic, far)[1], first)
