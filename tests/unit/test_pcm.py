"""Levels and the resampler, measured against sines that are known exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from harken.audio.pcm import Resampler, level_dbfs, rms
from harken.errors import AudioError

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATES = [(16_000, 24_000), (22_050, 24_000), (24_000, 16_000), (44_100, 16_000), (22_050, 16_000)]


def sine(rate: int, count: int, hz: float, amplitude: float = 10_000) -> NDArray[np.int16]:
    return np.rint(amplitude * np.sin(2 * np.pi * hz * np.arange(count) / rate)).astype(np.int16)


@pytest.mark.parametrize(("source", "target"), RATES)
@pytest.mark.parametrize("hz", [100, 1_000, 3_400, 6_800])
def test_a_sine_comes_out_as_itself_in_time(source: int, target: int, hz: float) -> None:
    resampler = Resampler(source, target)
    out = np.frombuffer(
        resampler.feed(sine(source, source, hz).tobytes()) + resampler.flush(), np.int16
    )
    assert out.size == target
    wanted = 10_000 * np.sin(2 * np.pi * hz * np.arange(target) / target)
    error = (out - wanted)[target // 20 : -target // 20]
    assert 10 * np.log10(np.mean(wanted**2) / np.mean(error**2)) > 70


@pytest.mark.parametrize(("source", "target"), [(24_000, 16_000), (48_000, 16_000)])
def test_what_the_target_cannot_carry_does_not_fold_back(source: int, target: int) -> None:
    resampler = Resampler(source, target)
    out = resampler.feed(sine(source, source, 10_500).tobytes()) + resampler.flush()
    middle = np.frombuffer(out, np.int16)[500:-500]
    assert level_dbfs(middle.tobytes()) < -80


def test_equal_rates_pass_through() -> None:
    pcm = sine(16_000, 333, 440).tobytes()
    resampler = Resampler(16_000, 16_000)
    assert resampler.feed(pcm) == pcm
    assert resampler.flush() == b""


def test_full_scale_is_clipped_not_wrapped() -> None:
    square = np.where(np.arange(1_600) // 40 % 2, 32_767, -32_768).astype(np.int16)
    out = np.frombuffer(Resampler(16_000, 24_000).feed(square.tobytes()), np.int16).astype(np.int32)
    assert np.sum(np.abs(np.diff(out)) > 60_000) == 0
    assert out.max() == 32_767
    assert out.min() == -32_768


def test_after_a_flush_it_is_as_new() -> None:
    resampler = Resampler(22_050, 24_000)
    pcm = sine(22_050, 1_000, 300).tobytes()
    first = resampler.feed(pcm) + resampler.flush()
    assert resampler.feed(pcm) + resampler.flush() == first


@pytest.mark.parametrize("rate", [0, -1, 192_001])
def test_an_impossible_rate_is_refused(rate: int) -> None:
    with pytest.raises(AudioError, match="not a sample rate"):
        Resampler(rate, 16_000)
    with pytest.raises(AudioError, match="not a sample rate"):
        Resampler(16_000, rate)


def test_levels() -> None:
    assert rms(b"") == 0
    assert level_dbfs(b"") == -100
    assert level_dbfs(bytes(64)) == -100
    assert rms(np.full(10, -32_768, np.int16).tobytes()) == pytest.approx(1)
    assert level_dbfs(sine(16_000, 16_000, 440, 32_767).tobytes()) == pytest.approx(-3.01, abs=0.01)
