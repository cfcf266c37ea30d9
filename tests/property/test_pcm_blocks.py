"""A stream gives the same samples however it is cut."""

from __future__ import annotations

import itertools
import math

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harken.audio.pcm import Resampler

_RATES = st.sampled_from([8_000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000])


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(_RATES, _RATES, st.lists(st.integers(0, 700), min_size=1, max_size=12), st.integers(0, 99))
def test_blocks_do_not_matter(source: int, target: int, sizes: list[int], seed: int) -> None:
    pcm = np.random.default_rng(seed).integers(-32_768, 32_768, sum(sizes)).astype(np.int16)
    whole = Resampler(source, target)
    at_once = whole.feed(pcm.tobytes()) + whole.flush()
    cut = Resampler(source, target)
    edges = np.cumsum([0, *sizes])
    pieces = [cut.feed(pcm[a:b].tobytes()) for a, b in itertools.pairwise(edges)]
    assert b"".join(pieces) + cut.flush() == at_once
    assert len(at_once) == 2 * math.ceil(pcm.size * target / source)
