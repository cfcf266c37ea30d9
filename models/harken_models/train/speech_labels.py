"""Which hops of a clean recording are speech, by its energy alone.

Labels are made from the dry, clean talker before anything is mixed in, so that they know nothing
of any detector that is judged by them. The threshold follows the recording: a margin under its loud
hops (as the activity threshold of ITU-T P.56, 2011, method B, lies a margin under the active
level), but clear of its own noise floor.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Hops = NDArray[np.bool_]

__all__ = ["BRIDGE_MS", "HOP", "hop_levels", "speech_hops", "speech_spans"]

HOP = 160
"""Samples of one label, 10 ms at 16 kHz."""
BRIDGE_MS = 100
"""The longest pause that is still speech: closures of stop consonants last up to about this."""

_SILENT_DB = -65.0  # a recording whose loudest hops stay under this holds no speech
_UNDER_LOUD_DB = 32.0
_OVER_FLOOR_DB = 9.0
_LEAST_UNDER_LOUD_DB = 14.0
_LOUD_PERCENTILE = 95.0
_FLOOR_PERCENTILE = 5.0
_BURST_HOPS = 4


def hop_levels(clean: NDArray[Any]) -> NDArray[np.float64]:
    """Level of each whole hop in dB of full scale, rumble and offset taken away.

    Args:
        clean: int16 or float of int16's range, [n], 16 kHz.

    Returns:
        float64 [n // 160]; -120 where there is nothing.
    """
    samples = np.asarray(clean, np.float64) / 32_768
    hops = samples.size // HOP
    if hops == 0:
        return np.empty(0)
    high = _high_passed(samples[: hops * HOP])
    power = np.square(high).reshape(hops, HOP).mean(axis=1)
    return np.asarray(10 * np.log10(np.maximum(power, 1e-12)))


def _high_passed(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """What is left when the mean over 10 ms around each sample is taken away."""
    edge = HOP // 2
    sums = np.cumsum(np.concatenate(([0.0], np.pad(samples, (edge, edge), mode="edge"))))
    mean = (sums[HOP : HOP + samples.size] - sums[: samples.size]) / HOP
    return np.asarray(samples - mean)


def speech_hops(clean: NDArray[Any], *, bridge_ms: int = BRIDGE_MS) -> Hops:
    """Whether each hop of a clean recording of one talker is speech.

    Args:
        clean: int16 or float of int16's range, [n], 16 kHz: one recording, dry and without noise.
        bridge_ms: pauses up to this long between speech count as speech.

    Returns:
        bool [n // 160].
    """
    levels = hop_levels(clean)
    if not levels.size:
        return np.empty(0, np.bool_)
    loud = float(np.percentile(levels, _LOUD_PERCENTILE))
    if loud < _SILENT_DB:
        return np.zeros(levels.size, np.bool_)
    floor = float(np.percentile(levels, _FLOOR_PERCENTILE))
    threshold = max(loud - _UNDER_LOUD_DB, floor + _OVER_FLOOR_DB)
    speech = levels > min(threshold, loud - _LEAST_UNDER_LOUD_DB)
    # A short gap first, so that a weak onset is not taken for a burst of its own.
    speech = _filled(speech, 2)
    speech = ~_filled(~speech, _BURST_HOPS - 1)
    return _filled(speech, bridge_ms // 10)


def speech_spans(speech: Hops) -> list[tuple[int, int]]:
    """Stretches of speech as (first hop, hop after the last)."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], speech.astype(np.int8), [0]))))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def _filled(flags: Hops, longest: int) -> Hops:
    """`flags` with gaps of at most `longest` hops between set ones closed."""
    filled = flags.copy()
    spans = speech_spans(flags)
    for (_, end), (start, _) in pairwise(spans):
        if start - end <= longest:
            filled[end:start] = True
    return filled
