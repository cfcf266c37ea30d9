"""Whatever the bytes: packing gives a model that runs, or says why not; so does loading."""

from __future__ import annotations

import struct
import zlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harken.errors import ModelFormatError
from harken_models.core import FEATURES, Model
from harken_models.fixed_point import multiplier_of, scaled
from harken_models.hkm import HEADER_SIZE
from harken_models.layout import Lifetime, place
from harken_models.pack import pack


@cache
def model() -> bytes:
    found = find_spec("pymicro_wakeword")
    if found is None or found.origin is None:
        pytest.skip("no published models here: run `make setup` (package pymicro-wakeword)")
    return (Path(found.origin).parent / "models" / "okay_nabu.tflite").read_bytes()


@cache
def packed() -> bytes:
    return pack(model())


@cache
def structure() -> tuple[int, ...]:
    """Places in the model that hold offsets, counts and shapes rather than weights."""
    data = np.frombuffer(model(), np.uint8)
    heavy = np.convolve(data != 0, np.ones(64), "same") > 50
    return tuple(int(at) for at in np.nonzero(~heavy)[0])


def runs_or_is_refused(data: bytes) -> None:
    try:
        made = pack(data)
    except ModelFormatError:
        return
    wake = Model(made)
    wake.run(np.zeros((6, FEATURES), np.int8))


@given(st.binary(max_size=300).map(lambda rest: b"\x1c\0\0\0TFL3" + rest))
def test_any_bytes_behind_the_mark(data: bytes) -> None:
    runs_or_is_refused(data)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), min_size=1, max_size=4))
def test_any_changed_bytes(changes: list[tuple[int, int]]) -> None:
    data = bytearray(model())
    places = structure()
    for where, value in changes:
        data[places[where % len(places)]] = value
    runs_or_is_refused(bytes(data))


@given(st.integers(0, HEADER_SIZE - 1), st.integers(1, 255))
def test_a_changed_header_byte_is_refused(where: int, change: int) -> None:
    data = bytearray(packed())
    data[where] ^= change
    with pytest.raises(ValueError, match="packed model"):
        Model(bytes(data))


@given(st.integers(0, 1 << 20), st.integers(1, 255))
def test_any_changed_byte_is_refused(where: int, change: int) -> None:
    data = bytearray(packed())
    data[where % len(data)] ^= change
    with pytest.raises(ValueError, match="packed model"):
        Model(bytes(data))


@given(st.integers(0, 1 << 20))
def test_a_cut_off_model_is_refused(kept: int) -> None:
    with pytest.raises(ValueError, match="packed model"):
        Model(packed()[: kept % len(packed())])


# Larger values would wrap around where the factor is near 1, as they do in the reference.
@given(st.integers(-(1 << 29), 1 << 29), st.floats(1e-9, 1.0))
def test_scaling_is_a_product_to_the_nearest(value: int, factor: float) -> None:
    multiplier, shift = multiplier_of(factor)
    # Two roundings, each to the nearest: less than one from the exact product.
    exact = value * multiplier * 2.0 ** (shift - 31)
    assert abs(scaled(value, multiplier, shift) - exact) <= 1.0


@given(
    st.lists(st.tuples(st.integers(1, 500), st.integers(0, 20), st.integers(0, 20)), max_size=12)
)
def test_storage_in_use_at_once_never_overlaps(wanted: list[tuple[int, int, int]]) -> None:
    lives = [Lifetime(root, size, min(a, b), max(a, b)) for root, (size, a, b) in enumerate(wanted)]
    offsets, arena = place(lives)
    for one in lives:
        assert offsets[one.root] % 4 == 0
        assert offsets[one.root] + one.size <= arena
        for other in lives:
            if other.root < one.root and one.first <= other.last and other.first <= one.last:
                a, b = offsets[one.root], offsets[other.root]
                assert a + one.size <= b or b + other.size <= a


def test_a_consistent_lie_is_refused_as_well() -> None:
    """A right checksum over wrong numbers: what a careless writer would make."""
    for field in range(16, HEADER_SIZE, 4):
        data = bytearray(packed())
        struct.pack_into("<I", data, field, 0xFFFF_FFF0)
        struct.pack_into("<I", data, 12, zlib.crc32(data[16:]))
        with pytest.raises(ValueError, match="packed model"):
            Model(bytes(data))
