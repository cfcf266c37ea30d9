"""Where a clean recording holds speech: the truth that voice activity detectors are held to.

By level alone, on the clean signal before any room or noise is added, so that no detector under
test had a part in it. What level alone cannot decide is marked as unsure and never scored.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
from scipy import signal as _signal  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from harken_models.scenes.decoded import Samples

    Labels = np.ndarray[tuple[int], np.dtype[np.int8]]
    Flags = np.ndarray[tuple[int], np.dtype[np.bool_]]

__all__ = ["HOP", "SILENCE", "SPEECH", "UNSURE", "speech_hops"]

HOP: Final = 160
SILENCE, SPEECH, UNSURE = 0, 1, -1

signal = cast("Any", _signal)

_RATE: Final = 16_000
# Hum and breath puffs lie below; they say nothing about speech.
_LOW_HZ: Final = 120.0
# Under the level of the loudest twentieth: what is surely speech, and what is surely none.
_SURE_DB: Final = 30.0
_NONE_DB: Final = 42.0
_OVER_FLOOR_DB: Final = 9.0
_LEAST_RANGE_DB: Final = 20.0
# Nobody talks on so long without a dip: what fills it is noise.
_LONGEST_WITHOUT_PAUSE_HOPS: Final = 200
# The closure of a stop is part of its word; a click is no word.
_CLOSURE_HOPS: Final = 12
_SHORTEST_HOPS: Final = 4
# A hop cut by the edge of a word is neither.
_EDGE_HOPS: Final = 2


def speech_hops(samples: Samples) -> Labels | None:
    """Label every 10 ms of one clean recording of one talker.

    Args:
        samples: int16 [n], 16 kHz.

    Returns:
        int8 [n // 160] of SPEECH, SILENCE and UNSURE; None where the recording is too noisy, or
        too even, for its level to tell.
    """
    hops = len(samples) // HOP
    if hops < _SHORTEST_HOPS:
        return None
    level = _levels(samples, hops)
    loud = float(np.percentile(level, 95))
    floor = float(np.percentile(level, 3))
    quietest_speech = loud - _SURE_DB
    # A clip cut close around its words has no floor to be seen: then the level alone decides.
    paused = bool(np.count_nonzero(level < loud - _LEAST_RANGE_DB) >= _SHORTEST_HOPS)
    if not paused and hops >= _LONGEST_WITHOUT_PAUSE_HOPS:
        return None
    if paused:
        if loud - floor < _LEAST_RANGE_DB:
            return None
        quietest_speech = max(quietest_speech, floor + _OVER_FLOOR_DB)
    sure = _without_short(_closed(level > quietest_speech, _CLOSURE_HOPS), _SHORTEST_HOPS)
    near = _widened(sure, _EDGE_HOPS) & ~_narrowed(sure, _EDGE_HOPS)
    maybe = ~sure & (level > min(loud - _NONE_DB, quietest_speech)) & (level > floor + 3)
    labels = np.where(sure, SPEECH, SILENCE).astype(np.int8)
    labels[near | maybe] = UNSURE
    return labels


def _levels(samples: Samples, hops: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Level of each hop in dB, over 20 ms around its middle."""
    sections = signal.butter(2, _LOW_HZ, "highpass", fs=_RATE, output="sos")
    cut = samples[: hops * HOP].astype(np.float64)
    # From its own mean, or an offset rings through the filter's start.
    sound = signal.sosfilt(sections, cut - cut.mean())
    halves = np.mean(sound.reshape(2 * hops, HOP // 2) ** 2, axis=1)
    padded = np.concatenate([halves[:1], halves, halves[-1:]])
    power = padded[:-2].reshape(-1, 2)[:, 0] + halves.reshape(-1, 2).sum(axis=1)
    power = power + padded[2:].reshape(-1, 2)[:, 1]
    decibels: np.ndarray[tuple[int], np.dtype[np.float64]] = 10 * np.log10(power / 4 + 1.0)
    return decibels


def _runs(flags: Flags) -> list[tuple[int, int]]:
    """Where stretches of True start and end."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def _closed(flags: Flags, longest: int) -> Flags:
    """With gaps of up to `longest` hops between two stretches filled."""
    out = flags.copy()
    runs = _runs(flags)
    for (_, end), (start, _) in pairwise(runs):
        if start - end <= longest:
            out[end:start] = True
    return out


def _without_short(flags: Flags, shortest: int) -> Flags:
    out = flags.copy()
    for start, end in _runs(flags):
        if end - start < shortest:
            out[start:end] = False
    return out


def _widened(flags: Flags, by: int) -> Flags:
    out = flags.copy()
    for start, end in _runs(flags):
        out[max(0, start - by) : end + by] = True
    return out


def _narrowed(flags: Flags, by: int) -> Flags:
    return ~_widened(~flags, by)
