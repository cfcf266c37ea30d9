"""How well a score tells two kinds of hops apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    Floats = np.ndarray[tuple[int], np.dtype[np.float64]]

__all__ = ["area_under_roc", "roc"]


def area_under_roc(scores: np.ndarray[Any, Any], truth: np.ndarray[Any, Any]) -> float:
    """How often a true hop scores above a false one, ties counting half (Mann and Whitney, 1947).

    Args:
        scores: [n].
        truth: bool [n], both values among it.
    """
    # Ties share the mean of their ranks.
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[place]
    true = int(np.count_nonzero(truth))
    false = len(truth) - true
    above = float(ranks[truth].sum()) - true * (true + 1) / 2
    return above / (true * false)


def roc(
    scores: np.ndarray[Any, Any], truth: np.ndarray[Any, Any], points: int = 200
) -> tuple[Floats, Floats]:
    """The curve of false alarms and hits over all thresholds.

    Args:
        scores: [n].
        truth: bool [n], both values among it.
        points: at most so many, evenly over the thresholds.

    Returns:
        Shares of false hops and of true hops that score at least the threshold, [m] each, rising.
    """
    order = np.argsort(-scores, kind="stable")
    sorted_truth, sorted_scores = truth[order], scores[order]
    last_of_tie = np.flatnonzero(np.diff(sorted_scores, append=np.nan))
    hits = np.cumsum(sorted_truth)[last_of_tie] / max(1, np.count_nonzero(truth))
    alarms = np.cumsum(~sorted_truth)[last_of_tie] / max(1, np.count_nonzero(~truth))
    kept = np.unique(np.linspace(0, len(hits) - 1, min(points, len(hits))).round().astype(int))
    start = np.zeros(1)
    return np.concatenate([start, alarms[kept]]), np.concatenate([start, hits[kept]])
