"""How the voice activity model compares with Silero's and WebRTC's, for its card.

On the streams of `harken bench vad`: human talkers, music and kinds of noise of the test split.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from harken.audio.vad import WINDOW, SileroVad
from harken_models import store
from harken_models.measure.detectors import EnergyVad, Heard, ModelVad, WebRtcVad
from harken_models.measure.scores import roc
from harken_models.measure.speech_streams import cases, hear
from harken_models.measure.vad_scores import best_lead, end_lags_ms, stream_auc
from harken_models.scenes.labels import HOP, SILENCE, SPEECH, UNSURE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from harken_models.measure.detectors import Detector
    from harken_models.measure.speech_streams import SpeechStream
    from harken_models.train.progress import Report

__all__ = ["UNCOUNTED", "Judged", "judge"]

UNCOUNTED: Final = "babble"
"""Nobody can say which of many talkers a detector ought to hear: shown, but in no mean."""
_THRESHOLD: Final = 0.5


class Judged(msgspec.Struct, frozen=True):
    """One detector.

    Attributes:
        name: for people.
        auc: area under the ROC curve, by kind of stream; "all" is the mean of those that count.
        lag_ms: median time from the last hop of speech to the decision that it has ended.
        dry_lag_ms: the same without a room.
        late_lag_ms: nine in ten ends are found within it.
        missed: share of the hops of speech not taken for it.
        wrong: share of the other hops taken for it.
        ends: how many ends.
        curve: false alarms and hits, one threshold for all streams.
    """

    name: str
    auc: dict[str, float]
    lag_ms: float
    dry_lag_ms: float
    late_lag_ms: float
    missed: float
    wrong: float
    ends: int
    curve: tuple[list[float], list[float]]


class _Silero:
    """Silero's model: what it had said last by the end of each hop."""

    name = "Silero"

    def __init__(self, path: Path) -> None:
        self._path = path

    def run(self, samples: NDArray[np.int16]) -> Heard:
        said = np.array([0.0, *SileroVad(self._path).feed(samples.tobytes())])
        scores = said[np.arange(1, samples.size // HOP + 1) * HOP // WINDOW]
        return Heard(scores, scores >= _THRESHOLD)


def judge(packed: bytes, report: Report, *, miniature: bool = False) -> list[Judged]:
    """Measure a packed model and its rivals on the same streams.

    Args:
        packed: the `.hkm` file.
        report: called with streams done.
        miniature: two short streams, to see that it works.

    Raises:
        StartError: recordings or `webrtcvad` are not installed.
        ModelMissingError: Silero's model is not in the store.
    """
    wanted = cases(quick=True)[:2] if miniature else cases()
    detectors: list[Detector] = [
        ModelVad(packed),
        EnergyVad(),
        _Silero(store.weights("silero-vad")),
        WebRtcVad(),
    ]
    streams: list[SpeechStream] = []
    heard: dict[str, list[Heard]] = {detector.name: [] for detector in detectors}
    for done, case in enumerate(wanted):
        report(done, len(wanted), case.label)
        stream = hear(case)
        streams.append(stream)
        for detector in detectors:
            heard[detector.name].append(detector.run(stream.samples))
    report(len(wanted), len(wanted), "")
    return [_judged(name, streams, answers) for name, answers in heard.items()]


def _judged(name: str, streams: Sequence[SpeechStream], heard: Sequence[Heard]) -> Judged:
    pairs = list(zip(streams, heard, strict=True))
    lead = best_lead(streams, heard)
    groups: defaultdict[str, list[float]] = defaultdict(list)
    for stream, answer in pairs:
        area, case = stream_auc(stream, answer, lead), stream.case
        groups[case.background].append(area)
        if case.background != UNCOUNTED:
            groups["all"].append(area)
            groups["in a room" if case.reverberant else "without a room"].append(area)
            groups[f"{case.snr_db:.0f} dB"].append(area)
    counted = [pair for pair in pairs if pair[0].case.background != UNCOUNTED]
    lags = [lag for stream, answer in counted for lag in end_lags_ms(stream, answer)]
    dry = [
        lag
        for stream, answer in counted
        if not stream.case.reverberant
        for lag in end_lags_ms(stream, answer)
    ]
    decided = np.concatenate([answer.speech[: len(stream.labels)] for stream, answer in counted])
    truth = np.concatenate([stream.labels[: len(answer.speech)] for stream, answer in counted])
    return Judged(
        name,
        {kind: round(float(np.mean(areas)), 4) for kind, areas in groups.items()},
        float(np.median(lags)),
        float(np.median(dry)),
        float(np.percentile(lags, 90)),
        round(float(np.mean(~decided[truth == SPEECH])), 4),
        round(float(np.mean(decided[truth == SILENCE])), 4),
        len(lags),
        _curve(counted, lead),
    )


def _curve(
    counted: Sequence[tuple[SpeechStream, Heard]], lead: int
) -> tuple[list[float], list[float]]:
    scores: list[NDArray[np.float64]] = []
    truths: list[NDArray[np.bool_]] = []
    for stream, answer in counted:
        count = min(len(stream.labels), len(answer.scores) - lead)
        labels = stream.labels[:count]
        sure = labels != UNSURE
        scores.append(answer.scores[lead : lead + count][sure])
        truths.append(labels[sure] == SPEECH)
    alarms, hits = roc(np.concatenate(scores), np.concatenate(truths))
    return np.round(alarms, 4).tolist(), np.round(hits, 4).tolist()
