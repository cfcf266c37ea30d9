"""The transform of 320 samples against numpy's."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from .conftest import ROOT

if TYPE_CHECKING:
    Samples32 = np.ndarray[tuple[int], np.dtype[np.int32]]
    Bins = np.ndarray[tuple[int], np.dtype[np.complex128]]

pytestmark = pytest.mark.integration

SIZE, BINS = 320, 161
library = ctypes.CDLL(
    str(ROOT / "models" / "harken_models" / "native" / "libharken_core-x86_64.so")
)


def forward(samples: np.ndarray[Any, Any]) -> Bins:
    frame = np.ascontiguousarray(samples, np.int32)
    bins = np.zeros(2 * BINS, np.int32)
    library.fft320_forward(ctypes.c_void_p(frame.ctypes.data), ctypes.c_void_p(bins.ctypes.data))
    return bins[::2] + 1j * bins[1::2]


def inverse(spectrum: Bins) -> Samples32:
    bins = np.zeros(2 * BINS, np.int32)
    bins[::2], bins[1::2] = np.round(spectrum.real), np.round(spectrum.imag)
    frame = np.zeros(SIZE, np.int32)
    library.fft320_inverse(ctypes.c_void_p(bins.ctypes.data), ctypes.c_void_p(frame.ctypes.data))
    return frame


def snr_db(exact: np.ndarray[Any, Any], found: np.ndarray[Any, Any]) -> float:
    lost = np.sum(np.abs(exact - found) ** 2)
    return float(10 * np.log10(np.sum(np.abs(exact) ** 2) / max(lost, 1e-9)))


# The error is a quarter of a sample's last bit or less, so what is lost depends on the level alone.
@pytest.mark.parametrize(("level", "least_db"), [(100, 42), (3000, 72), (32767 << 3, 110)])
def test_noise_there_and_back(level: int, least_db: float) -> None:
    samples = np.random.default_rng(level).integers(-level, level + 1, SIZE)
    spectrum = np.fft.rfft(samples)
    assert snr_db(spectrum, forward(samples)) > least_db
    assert snr_db(samples, inverse(spectrum)) > least_db
    assert snr_db(samples, inverse(forward(samples))) > least_db


def test_every_impulse_and_every_tone() -> None:
    for samples in np.eye(SIZE, dtype=np.int32) * 20000:
        assert np.abs(forward(samples) - np.fft.rfft(samples)).max() < 4
    for k in range(BINS):
        spectrum = np.zeros(BINS, np.complex128)
        spectrum[k] = 1 << 26
        assert np.abs(inverse(spectrum) - np.fft.irfft(spectrum)).max() < 3


@pytest.mark.parametrize("sign", [1, -1])
def test_the_loudest_samples_do_not_overflow(sign: int) -> None:
    for samples in (np.full(SIZE, 1), (-1) ** np.arange(SIZE), np.sign(np.sin(np.arange(SIZE)))):
        loudest = sign * samples.astype(np.int64) * ((1 << 21) - 1)
        assert snr_db(np.fft.rfft(loudest), forward(loudest)) > 110
        kept = loudest >> 3
        assert snr_db(kept, inverse(forward(kept))) > 100
