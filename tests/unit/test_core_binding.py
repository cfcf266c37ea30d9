"""What the shared library takes from CPython, and what it refuses."""

from __future__ import annotations

import runpy
from array import array
from pathlib import Path

import numpy as np
import pytest

from harken_models.core import FEATURES, HOP, Features, Model, Vad, amplify, level, mask

CORE = Path(__file__).resolve().parents[2] / "firmware" / "native" / "core"


def pcm(count: int) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    return np.random.default_rng(8).integers(-3000, 3000, count).astype(np.int16)


def test_features_need_three_hops_before_the_first_row() -> None:
    features, row = Features(), bytearray(FEATURES)
    assert [features.step(bytes(2 * HOP), row) for _ in range(4)] == [0, 0, 1, 1]
    features.reset()
    assert features.step(bytes(2 * HOP), row) == 0


def test_every_kind_of_buffer_gives_the_same_row() -> None:
    samples = pcm(3 * HOP)
    rows = []
    for make in (bytes, bytearray, lambda data: memoryview(bytearray(data)), memoryview):
        features, row = Features(), bytearray(FEATURES)
        for hop in samples.reshape(-1, HOP):
            features.step(make(hop.tobytes()), row)
        rows.append(bytes(row))
    features, stored = Features(), array("b", bytes(FEATURES))
    for hop in samples.reshape(-1, HOP):
        features.step(array("h", hop.tolist()), stored)
    rows.append(stored.tobytes())
    assert len(set(rows)) == 1
    assert rows[0] == Features().run(samples)[0].tobytes()


def test_run_is_many_steps() -> None:
    samples = pcm(50 * HOP + 7)
    features, row = Features(), bytearray(FEATURES)
    stepped = [
        bytes(row)
        for hop in samples[: 50 * HOP].reshape(-1, HOP)
        if features.step(hop.tobytes(), row)
    ]
    assert b"".join(stepped) == Features().run(samples).tobytes()


def test_short_or_constant_buffers_are_refused() -> None:
    features, row = Features(), bytearray(FEATURES)
    with pytest.raises(ValueError, match="pcm needs 320 bytes"):
        features.step(bytes(2 * HOP - 1), row)
    with pytest.raises(ValueError, match="row needs 40 writable bytes"):
        features.step(bytes(2 * HOP), bytearray(FEATURES - 1))
    with pytest.raises(ValueError, match="row needs 40 writable bytes"):
        features.step(bytes(2 * HOP), bytes(FEATURES))
    with pytest.raises(ValueError, match="pcm needs 320"):
        Vad().step(b"", -1)


def test_masking_twice_gives_the_text_back() -> None:
    text = bytearray(b"Hear, hear: a device that speaks.")
    for length in range(len(text)):
        masked = bytearray(text)
        mask(masked, 1, length - 1 if length else 0, b"\x37\xfa\x21\x3d")
        expected = bytearray(text)
        for n in range(max(length - 1, 0)):
            expected[1 + n] ^= b"\x37\xfa\x21\x3d"[n % 4]
        assert masked == expected
        mask(masked, 1, length - 1 if length else 0, b"\x37\xfa\x21\x3d")
        assert masked == text


@pytest.mark.parametrize(
    ("offset", "length", "key"),
    [(0, 11, b"abcd"), (-1, 4, b"abcd"), (4, -1, b"abcd"), (0, 4, b"abc"), (0, 4, b"abcde")],
)
def test_masking_outside_the_buffer_is_refused(offset: int, length: int, key: bytes) -> None:
    with pytest.raises(ValueError, match=r"mask needs|buffer needs"):
        mask(bytearray(10), offset, length, key)


@pytest.mark.parametrize("wrong", [b"", b"HKM1", bytes(48), b"TFL3" * 40])
def test_what_is_no_packed_model_is_refused(wrong: bytes) -> None:
    with pytest.raises(ValueError, match="no packed model"):
        Model(wrong)


def test_the_feature_tables_are_what_their_formulas_give() -> None:
    tables = runpy.run_path(str(CORE / "tables.py"))
    assert (CORE / "feature_tables.h").read_text("ascii") == tables["header"]()
    device = CORE.parents[1] / "harken_device"
    assert (device / "viper" / "tables.py").read_text("ascii") == tables["viper"]()


def test_levels_are_logarithms_of_the_power() -> None:
    def of(samples: np.ndarray[tuple[int], np.dtype[np.float64]]) -> int:
        return level(samples.astype(np.int16).tobytes(), None)

    tone = 16_000 * np.sin(np.arange(HOP) * 2 * np.pi * 400 / 16_000)
    for halvings in range(1, 8):
        assert abs(of(tone) - of(tone / 2**halvings) - 32 * halvings) <= 5
    assert abs(of(tone / 16 + 3_000) - of(tone / 16)) <= 2  # an offset is no level
    full, inverse = array("h", [32_767, -32_768] * 80), array("h", [-32_768, 32_767] * 80)
    assert level(full, inverse) == level(full, None) <= 517
    assert level(full, full) == 0


def test_levels_equal_their_definition() -> None:
    for number in range(200):
        rng = np.random.default_rng(number)
        peak = 2 ** int(rng.integers(1, 16))
        one, other = rng.integers(-peak, peak, (2, HOP)).astype(np.int16)
        value = np.clip(one.astype(int) - other, -16_383, 16_383) >> 1
        power = int(np.sum(value * value >> 3)) - int(value.sum() // HOP) ** 2 * (HOP // 8)
        doublings = max(power.bit_length() - 5, 0)
        wanted = (4 + doublings) * 16 + (power >> doublings) - 16 if power >= 16 else 0
        assert level(one.tobytes(), other.tobytes()) == wanted


def test_a_gain_moves_in_a_line() -> None:
    samples, out = pcm(3 * HOP), bytearray(2 * HOP)
    first = amplify(samples.tobytes(), 100, 32_768, 768, out)
    wanted = samples[100 : 100 + HOP].astype(int) * (32_768 - 200 * np.arange(HOP)) >> 15
    np.testing.assert_array_equal(np.frombuffer(out, np.int16), wanted)
    assert first == np.flatnonzero(np.abs(wanted) > 64)[0]
    assert amplify(samples.tobytes(), 0, 0, 0, out) == -1
    assert not any(out)


@pytest.mark.parametrize(
    ("start", "gain", "goal"),
    [(-1, 0, 0), (2 * HOP + 1, 0, 0), (0, 32_769, 0), (0, 1, -1), (0, -1, 1), (0, 0, 1 << 40)],
)
def test_gains_that_are_none_are_refused(start: int, gain: int, goal: int) -> None:
    with pytest.raises(ValueError, match=r"start|gains|pcm"):
        amplify(pcm(3 * HOP).tobytes(), start, gain, goal, bytearray(2 * HOP))
