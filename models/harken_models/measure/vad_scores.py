"""How well a detector tells speech from the rest, and how late it hears that speech has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from harken_models.measure.scores import area_under_roc
from harken_models.scenes.labels import SPEECH, UNSURE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harken_models.measure.detectors import Heard
    from harken_models.measure.speech_streams import SpeechStream

__all__ = ["MOST_LEAD", "best_lead", "end_lags_ms", "stream_auc"]

MOST_LEAD: Final = 6
"""Hops by which a score may tell of the past: windows and frames cover more than their hop."""
_QUIET_HOPS: Final = 10
_HOP_MS: Final = 10


def stream_auc(stream: SpeechStream, heard: Heard, lead: int) -> float:
    """Area under the ROC curve over the hops of one stream whose truth is sure.

    Args:
        stream: with its truth.
        heard: what a detector said of it.
        lead: hops by which its scores come late; they are moved back so far.
    """
    labels = stream.labels
    count = min(len(labels), len(heard.scores) - lead)
    cut = labels[:count]
    sure = cut != UNSURE
    return area_under_roc(heard.scores[lead : lead + count][sure], cut[sure] == SPEECH)


def best_lead(streams: Sequence[SpeechStream], heard: Sequence[Heard]) -> int:
    """The lead that serves a detector best over all streams: each is given its own."""
    means = [
        np.mean([stream_auc(s, h, lead) for s, h in zip(streams, heard, strict=True)])
        for lead in range(MOST_LEAD + 1)
    ]
    return int(np.argmax(means))


def end_lags_ms(stream: SpeechStream, heard: Heard) -> list[float]:
    """How long after each utterance a detector stopped saying speech.

    Counted to the first of ten hops without speech. Negative where it stopped early; the whole
    pause where it never did; an utterance of whose last half second it heard nothing is left out.
    """
    lags: list[float] = []
    for end, pause in zip(stream.ends, stream.pauses, strict=True):
        flags = heard.speech[max(0, end - 50) : end + pause]
        before = min(50, end)
        said = np.flatnonzero(flags[:before])
        if not len(said):
            continue
        lags.append(_HOP_MS * float(_silent_from(flags, int(said[-1])) - before))
    return lags


def _silent_from(flags: np.ndarray[tuple[int], np.dtype[np.bool_]], last: int) -> int:
    """The first hop after `last` that starts ten hops without speech, or the end."""
    run = 0
    for at in range(last + 1, len(flags)):
        run = 0 if flags[at] else run + 1
        if run == _QUIET_HOPS:
            return at - _QUIET_HOPS + 1
    return len(flags) - run
