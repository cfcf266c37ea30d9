"""The cleaner as a whole: what it is made of, and that no sound breaks it."""

from __future__ import annotations

import runpy
from typing import TYPE_CHECKING

import numpy as np
import pytest

from harken_models.core import BANDS, HOP, Cleaner

from .conftest import RATE, ROOT
from .sounds import FULL, cleaned, clipped, noise, tone

if TYPE_CHECKING:
    from .conftest import Samples

pytestmark = pytest.mark.integration

CORE = ROOT / "firmware" / "native" / "core"
PARTS = (Cleaner.HIGHPASS, Cleaner.ECHO, Cleaner.SUPPRESS, Cleaner.NOISE, Cleaner.GAIN)


def talk_over(recording: Samples) -> tuple[Samples, Samples]:
    """Ten seconds of a microphone that hears its loudspeaker and a talker, and what was played."""
    far = recording[: 10 * RATE]
    near = recording[20 * RATE : 30 * RATE]
    heard = np.convolve(far, [0.0] * 400 + [0.5, 0.2, -0.1])[: far.size]
    return clipped(heard + near * 0.5 + noise(10, 8)), far


def test_the_tables_are_what_their_formulas_give() -> None:
    headers = runpy.run_path(str(CORE / "cleaner_tables.py"))["headers"]()
    assert {name: (CORE / name).read_text("ascii") for name in headers} == headers


def test_with_all_parts_off_sound_passes_one_hop_late(recording: Samples) -> None:
    mic = np.concatenate([recording[: 5 * RATE], noise(1, 20000)])
    out = cleaned(mic, 0)
    assert not out[:HOP].any()
    assert np.array_equal(out[HOP:], mic[:-HOP])


@pytest.mark.parametrize("level", [2, 300, 9000, 40000])
def test_a_frame_whose_gains_are_one_comes_back(level: float) -> None:
    mic = noise(3, level)
    cleaner = Cleaner()
    cleaner.switch(Cleaner.NOISE)
    cleaner.gains(bytes([255]) * BANDS)
    out = cleaner.run(mic, None)[0]
    assert np.abs(out[HOP:].astype(np.int32) - mic[:-HOP]).max() <= 1


def test_run_is_step_by_step(recording: Samples) -> None:
    mic, far = talk_over(recording)
    together, stepping = Cleaner(), Cleaner()
    out, linear = together.run(mic, far)
    one, one_linear = bytearray(2 * HOP), bytearray(2 * HOP)
    for start in range(0, mic.size, HOP):
        hop = slice(start, start + HOP)
        stepping.step(mic[hop].tobytes(), far[hop].tobytes(), one, one_linear)
        assert out[hop].tobytes() == one
        assert linear[hop].tobytes() == one_linear


def test_what_is_cleaned_may_lie_where_it_came_from(recording: Samples) -> None:
    mic, far = talk_over(recording)
    out, _ = Cleaner().run(mic, far)
    cleaner, place = Cleaner(), bytearray(2 * HOP)
    for start in range(0, mic.size, HOP):
        hop = slice(start, start + HOP)
        place[:] = mic[hop].tobytes()
        cleaner.step(place, far[hop].tobytes(), place, None)
        assert out[hop].tobytes() == place


def test_reset_makes_it_new_but_for_what_is_switched_off(recording: Samples) -> None:
    mic, far = talk_over(recording)
    used, new = Cleaner(), Cleaner()
    for cleaner in (used, new):
        cleaner.switch(Cleaner.ALL - Cleaner.GAIN)
    used.gains(bytes(BANDS))
    used.run(mic, far)
    used.reset()
    again, fresh = used.run(mic, far), new.run(mic, far)
    assert np.array_equal(again[0], fresh[0])
    assert np.array_equal(again[1], fresh[1])
    assert again[0][RATE:].any()


def test_offset_and_rumble_go_and_voices_stay() -> None:
    assert np.abs(cleaned(np.full(RATE, 12000, np.int16), Cleaner.HIGHPASS)[-HOP:]).max() == 0
    before = tone(2, 20, 8000)
    assert cleaned(before, Cleaner.HIGHPASS)[RATE:].std() < before.std() / 10
    for hertz in (200, 1000, 7000):
        before = tone(2, hertz, 8000)
        after = cleaned(before, Cleaner.HIGHPASS)[RATE:].std()
        assert 20 * np.log10(after / before.std()) == pytest.approx(0, abs=0.2)


def test_silence_stays_silent() -> None:
    cleaner = Cleaner()
    out, linear = cleaner.run(np.zeros(3 * RATE, np.int16), np.zeros(3 * RATE, np.int16))
    assert not out.any()
    assert not linear.any()
    assert cleaner.gain_db() == 0
    assert cleaner.noise_db() == Cleaner().noise_db() == -96


@pytest.mark.parametrize("parts", [0, *PARTS, Cleaner.ALL])
@pytest.mark.parametrize("hertz", [400, 1000])
def test_full_scale_does_not_wrap(parts: int, hertz: int) -> None:
    """A sample that wraps has the other sign; what is done to this sound leaves signs alone."""
    half = RATE // hertz // 2
    square = np.where(np.arange(4 * RATE) // half % 2, FULL, -FULL - 1).astype(np.int16)
    # A faint voice before it, so that the gain is at its highest when it comes.
    faint = np.where(np.arange(12 * RATE) // RATE % 2, tone(12, 500, 60), 0).astype(np.int16)
    cleaner = Cleaner()
    cleaner.switch(parts)
    cleaner.run(faint, None)
    out = cleaner.run(square, None)[0][HOP:]
    signs = np.sign(out.astype(np.int32)) * np.sign(square[:-HOP].astype(np.int32))
    # But for the samples beside an edge, which the filter bank may round.
    edges = np.abs((np.arange(out.size) + half // 2) % half - half // 2) <= 2
    assert np.abs(out[: RATE // 10].astype(np.int32)).max() > FULL // 2
    assert signs[~edges].min() >= 0


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("others", [0, Cleaner.ALL])
def test_switching_makes_no_click(part: int, others: int) -> None:
    """A click is a jump from one sample to the next that the sound itself has not."""
    sound = clipped(tone(6, 300, 3000) + noise(6, 100).astype(np.float64))
    cleaner = Cleaner()
    cleaner.switch(others)
    outs = [cleaner.run(sound[: 2 * RATE], None)[0]]
    cleaner.switch(others ^ part)
    outs.append(cleaner.run(sound[2 * RATE : 4 * RATE], None)[0])
    cleaner.switch(others)
    outs.append(cleaner.run(sound[4 * RATE :], None)[0])
    jumps = np.abs(np.diff(np.concatenate(outs).astype(np.int32)))
    for at in (2 * RATE, 4 * RATE):
        before, after = jumps[at - RATE // 2 : at - HOP], jumps[at + RATE // 2 : at + RATE]
        own = max(before.max(), after.max())
        # Twice and a little: the high-pass, which comes and goes at once, moves the tone's phase.
        assert jumps[at - HOP : at + 4 * HOP].max() < 2.5 * own


def test_nothing_creeps_in_twenty_minutes_of_noise() -> None:
    """What is counted here ends soon; the rest is in `tests/fuzz/core_long_run.c`."""
    cleaner = Cleaner()
    minute = noise(60, 500)
    heard = [cleaner.run(minute, None)[0] for _ in range(20)]
    levels = [20 * np.log10(out[10 * RATE :].std()) for out in heard]
    assert max(levels) - min(levels) < 0.1
    assert cleaner.noise_db() == pytest.approx(20 * np.log10(500 / 32768), abs=1.5)
    assert cleaner.gain_db() == 0


def test_any_samples_and_any_switches(recording: Samples) -> None:
    """Noise of all kinds, from full scale to nothing and back, while parts come and go."""
    rng = np.random.default_rng(11)
    cleaner = Cleaner()
    out = bytearray(2 * HOP)
    for _ in range(3000):
        kind = rng.integers(5)
        level = 2 ** rng.uniform(0, 16)
        mic = (
            clipped(rng.normal(0, level, HOP)),
            np.full(HOP, rng.choice([-FULL - 1, 0, FULL]), np.int16),
            np.where(np.arange(HOP) % 2, FULL, -FULL - 1).astype(np.int16),
            recording[(at := int(rng.integers(recording.size - HOP))) : at + HOP],
            np.zeros(HOP, np.int16),
        )[kind]
        reference = clipped(rng.normal(0, level, HOP)).tobytes() if rng.integers(2) else None
        if rng.integers(50) == 0:
            cleaner.switch(int(rng.integers(Cleaner.ALL + 1)))
            cleaner.gains(rng.bytes(BANDS) if rng.integers(2) else None)
        cleaner.step(mic.tobytes(), reference, out, None)
        assert -96 <= cleaner.noise_db() <= 0
        assert 0 <= cleaner.gain_db() <= 24


def test_its_state_fits_a_board() -> None:
    assert Cleaner().state_size <= 56 * 1024
