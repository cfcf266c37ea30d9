"""Voice activity detectors over the same streams: how well, where, and how late."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from harken_models.measure.scores import roc
from harken_models.measure.speech_streams import QUIET, cases, hear
from harken_models.measure.vad_scores import best_lead, end_lags_ms, stream_auc
from harken_models.scenes.labels import SPEECH, UNSURE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harken_models.measure.detectors import Detector, Heard
    from harken_models.measure.speech_streams import SpeechStream
    from harken_models.train.progress import Progress

__all__ = ["VadAccuracy", "measure_vad"]

Value = TypeVar("Value")

_BABBLE = "babble"


@dataclass(frozen=True, slots=True, eq=False)
class VadAccuracy:
    """A detector over all streams; a babble of other voices counts in `groups` alone.

    Attributes:
        area: under the ROC curve, mean over the streams.
        groups: mean area by background, by ratio, and with and without a room.
        curve: shares of false alarms and hits with one threshold for all streams.
        end_lag_ms: median lag of the end of speech.
        ends: more about ends of speech.
        minutes: of all streams.
    """

    area: float
    groups: Mapping[str, float]
    curve: Mapping[str, Sequence[float]]
    end_lag_ms: float
    ends: Mapping[str, float]
    minutes: float


def measure_vad(
    detectors: Sequence[Detector], progress: Progress, *, quick: bool = False
) -> dict[str, VadAccuracy]:
    """Let detectors hear the same streams.

    Args:
        detectors: each of another name.
        progress: shows how far it is.
        quick: three minutes of streams instead of most of an hour.

    Returns:
        What was found, by the detector's name.

    Raises:
        StartError: a corpus is not installed.
    """
    wanted = cases(quick=quick)
    streams: list[SpeechStream] = []
    with progress.showing(f"{len(wanted)} streams") as report:
        for at, case in enumerate(wanted, 1):
            streams.append(hear(case))
            report(at, len(wanted), case.label)
    found: dict[str, VadAccuracy] = {}
    for detector in detectors:
        heard: list[Heard] = []
        with progress.showing(detector.name) as report:
            for at, stream in enumerate(streams, 1):
                heard.append(detector.run(stream.samples))
                report(at, len(streams), stream.case.label)
        found[detector.name] = _accuracy(streams, heard)
    return found


def _accuracy(streams: Sequence[SpeechStream], heard: Sequence[Heard]) -> VadAccuracy:
    counting, answers = _judged(streams, streams), _judged(streams, heard)
    lead = best_lead(counting, answers)
    areas = [stream_auc(s, h, lead) for s, h in zip(streams, heard, strict=True)]
    pairs = list(zip(counting, answers, strict=True))
    lags = np.array([lag for s, h in pairs for lag in end_lags_ms(s, h)])
    dry = [lag for s, h in pairs if not s.case.reverberant for lag in end_lags_ms(s, h)]
    return VadAccuracy(
        area=round(float(np.mean(_judged(streams, areas))), 4),
        groups=_grouped(streams, areas),
        curve=_curve(counting, answers, lead),
        end_lag_ms=float(np.median(lags)),
        ends={
            "median without a room": float(np.median(dry)),
            "90 % within": float(np.percentile(lags, 90)),
            "cut off early by more than 100 ms": round(float(np.mean(lags < -100)), 4),
            "ends": len(lags),
        },
        minutes=sum(len(stream.labels) for stream in streams) / 6_000,
    )


def _judged(streams: Sequence[SpeechStream], values: Sequence[Value]) -> list[Value]:
    """Those of the streams that count."""
    pairs = zip(streams, values, strict=True)
    return [value for stream, value in pairs if stream.case.background != _BABBLE]


def _grouped(streams: Sequence[SpeechStream], areas: Sequence[float]) -> dict[str, float]:
    groups: defaultdict[str, list[float]] = defaultdict(list)
    for stream, area in zip(streams, areas, strict=True):
        case = stream.case
        groups[case.background].append(area)
        if case.background == _BABBLE:
            continue
        groups["in a room" if case.reverberant else "dry"].append(area)
        if case.background != QUIET:
            groups[f"{case.snr_db:.0f} dB"].append(area)
    return {name: round(float(np.mean(values)), 4) for name, values in groups.items()}


def _curve(
    streams: Sequence[SpeechStream], heard: Sequence[Heard], lead: int
) -> dict[str, list[float]]:
    scores: list[np.ndarray[tuple[int], np.dtype[np.float64]]] = []
    truths: list[np.ndarray[tuple[int], np.dtype[np.bool_]]] = []
    for stream, answer in zip(streams, heard, strict=True):
        count = len(stream.labels) - lead
        labels = stream.labels[:count]
        sure = labels != UNSURE
        scores.append(answer.scores[lead : lead + count][sure])
        truths.append(labels[sure] == SPEECH)
    alarms, hits = roc(np.concatenate(scores), np.concatenate(truths))
    return {"false alarms": np.round(alarms, 4).tolist(), "hits": np.round(hits, 4).tolist()}
