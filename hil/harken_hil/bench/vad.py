"""`harken bench vad`: our voice activity detector beside Silero's and WebRTC's.

All take the same streams of human talkers, of whom our model has heard none in training, in quiet,
noise and music (`harken_models.measure.speech_streams`). What is true is known from the clean
recordings and was decided by no detector. A babble of other voices is shown but not counted in any
figure: nobody can say which of the talkers a detector ought to have heard.
"""

from __future__ import annotations

import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np

from harken.audio.vad import WINDOW, SileroVad
from harken_hil.bench.measure import (
    MIN_ROUNDS,
    BenchOptions,
    BenchResult,
    Figure,
    Goal,
    Setting,
    counted,
    figure,
    interleave,
)
from harken_models import store
from harken_models.core import HOP, Features, Model, Vad
from harken_models.measure.detectors import EnergyVad, Heard, ModelVad, WebRtcVad
from harken_models.measure.ours import shipped_tflite
from harken_models.measure.scores import roc
from harken_models.measure.speech_streams import cases, hear
from harken_models.measure.vad_scores import best_lead, end_lags_ms, stream_auc
from harken_models.pack import pack
from harken_models.scenes.labels import SPEECH, UNSURE
from harken_models.train.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from harken_models.measure.detectors import Detector
    from harken_models.measure.speech_streams import SpeechStream

    Samples = np.ndarray[tuple[int], np.dtype[np.int16]]

Value = TypeVar("Value")

__all__ = ["QUICK", "ROUNDS", "SETTINGS", "run"]

QUICK: Final = True
ROUNDS: Final = MIN_ROUNDS
SETTINGS: Final[dict[str, Setting]] = {}

_OURS, _SILERO, _WEBRTC = "harken", "Silero", "WebRTC VAD"
_THRESHOLD: Final = 0.5
_TIMED_S: Final = 20


def run(options: BenchOptions) -> BenchResult:
    """Area under the ROC curve, lag of the end of speech, and CPU.

    Raises:
        StartError: a rival or a corpus is not installed.
        ModelError: Silero's model is not in the store, or ours is not shipped.
    """
    progress = Progress(quiet=options.silent)
    model = pack(shipped_tflite("vad").read_bytes())
    detectors: list[Detector] = [
        ModelVad(model),
        ModelVad(model, "harken, on cleaned sound", cleaned=True),
        EnergyVad(),
        _Silero(),
        WebRtcVad(),
    ]
    wanted = cases(quick=options.quick)
    with progress.showing(f"{len(wanted)} streams") as report:
        streams: list[SpeechStream] = []
        for at, case in enumerate(wanted):
            report(at, len(wanted), case.label)
            streams.append(hear(case))
    heard: dict[str, list[Heard]] = {}
    for detector in detectors:
        with progress.showing(detector.name) as report:
            heard[detector.name] = []
            for at, stream in enumerate(streams):
                report(at, len(streams), stream.case.label)
                heard[detector.name].append(detector.run(stream.samples))
    accuracy, data = _accuracy(streams, heard)
    with progress.showing("CPU"):
        cpu = _cpu(model, streams[0].samples, options.rounds)
    return BenchResult("vad", (*accuracy, *_lags(streams, heard), *cpu), data)


class _Silero:
    """Silero's model as the gateway runs it: a probability every 32 ms."""

    name = _SILERO

    def __init__(self) -> None:
        self._path = store.weights("silero-vad")

    def run(self, samples: Samples) -> Heard:
        """What it had said last by the end of each hop."""
        said = np.array(self.feed(samples))
        frames = (np.arange(1, len(samples) // HOP + 1) * HOP) // WINDOW - 1
        scores = np.where(frames >= 0, said[np.clip(frames, 0, len(said) - 1)], 0.0)
        return Heard(scores, scores >= _THRESHOLD)

    def feed(self, samples: Samples) -> list[float]:
        """Its probabilities, from a fresh start."""
        return SileroVad(self._path).feed(samples.tobytes())


def _accuracy(
    streams: Sequence[SpeechStream], heard: Mapping[str, Sequence[Heard]]
) -> tuple[list[Figure], dict[str, Any]]:
    by: dict[str, float] = {}
    slices: dict[str, dict[str, float]] = {}
    curves: dict[str, Any] = {}
    for name, answers in heard.items():
        lead = best_lead(streams, answers)
        areas = [stream_auc(s, h, lead) for s, h in zip(streams, answers, strict=True)]
        by[name] = round(float(np.mean(_judged(streams, areas))), 4)
        slices[name] = _sliced(streams, areas)
        curves[name] = _curve(_judged(streams, streams), _judged(streams, answers), lead)
    minutes = sum(len(stream.samples) for stream in streams) / 16_000 / 60
    detail = {"by": by, "by background": slices, "minutes": round(minutes, 1)}
    goal = Goal("difference", ">=", -0.01)
    line = counted(
        "area under the ROC curve, mean over the streams",
        "AUC",
        goal,
        by[_OURS],
        rival=(_SILERO, by[_SILERO]),
        floor=(_WEBRTC, by[_WEBRTC]),
        detail=detail,
    )
    return [line], {"roc": curves, "auc": slices}


def _judged(streams: Sequence[SpeechStream], values: Sequence[Value]) -> list[Value]:
    """Those of the streams that count."""
    pairs = zip(streams, values, strict=True)
    return [value for stream, value in pairs if stream.case.background != "babble"]


def _sliced(streams: Sequence[SpeechStream], areas: Sequence[float]) -> dict[str, float]:
    """Means over the streams of one background, of one ratio, and with or without a room."""
    groups: defaultdict[str, list[float]] = defaultdict(list)
    for stream, area in zip(streams, areas, strict=True):
        case = stream.case
        groups[case.background].append(area)
        if case.background == "babble":
            continue
        groups["in a room" if case.reverberant else "dry"].append(area)
        if case.background != "quiet":
            groups[f"{case.snr_db:.0f} dB"].append(area)
    return {name: round(float(np.mean(values)), 4) for name, values in groups.items()}


def _curve(streams: Sequence[SpeechStream], heard: Sequence[Heard], lead: int) -> dict[str, Any]:
    """The ROC over all streams together: one threshold for all."""
    scores: list[Any] = []
    truths: list[Any] = []
    for stream, answer in zip(streams, heard, strict=True):
        count = len(stream.labels) - lead
        labels = stream.labels[:count]
        sure = labels != UNSURE
        scores.append(answer.scores[lead : lead + count][sure])
        truths.append(labels[sure] == SPEECH)
    alarms, hits = roc(np.concatenate(scores), np.concatenate(truths))
    return {"false alarms": np.round(alarms, 4).tolist(), "hits": np.round(hits, 4).tolist()}


def _lags(streams: Sequence[SpeechStream], heard: Mapping[str, Sequence[Heard]]) -> list[Figure]:
    """Median lag of the end of speech, over all ends."""
    by: dict[str, float] = {}
    more: dict[str, dict[str, float]] = {}
    counting = _judged(streams, streams)
    for name, every in heard.items():
        answers = _judged(streams, every)
        pairs = list(zip(counting, answers, strict=True))
        lags = np.array([lag for s, h in pairs for lag in end_lags_ms(s, h)])
        dry = [lag for s, h in pairs if not s.case.reverberant for lag in end_lags_ms(s, h)]
        by[name] = float(np.median(lags))
        more[name] = {
            "median without a room": float(np.median(dry)),
            "90 % within": float(np.percentile(lags, 90)),
            "cut off early by more than 100 ms": round(float(np.mean(lags < -100)), 4),
            "ends": len(lags),
        }
    return [
        counted(
            "lag of the end of speech, median",
            "ms",
            Goal("figure", "<=", 50.0),
            by[_OURS],
            rival=(_SILERO, by[_SILERO]),
            floor=(_WEBRTC, by[_WEBRTC]),
            detail={"by": by, "more": more},
        )
    ]


def _cpu(model: bytes, samples: Samples, rounds: int) -> list[Figure]:
    """CPU of 10 ms: all that the detector needs, and what it adds where features are there."""
    sound = samples[: _TIMED_S * 16_000]
    hops = len(sound) // HOP
    rows = Features().run(sound)
    silero, webrtc = _Silero(), WebRtcVad()
    packets = [sound[at : at + HOP].tobytes() for at in range(0, hops * HOP, HOP)]

    def added() -> None:
        Model(model).run(rows)
        vad = Vad()
        for hop in packets:
            vad.step(hop, 128)

    def whole() -> None:
        Features().run(sound)
        added()

    def timed(work: Callable[[], object]) -> Callable[[], float]:
        def once() -> float:
            start = time.process_time()
            work()
            return (time.process_time() - start) / hops * 1e6

        return once

    detail = {"state bytes of the model": Model(model).state_size}
    return [
        figure(
            name,
            "us CPU",
            interleave(
                ours=timed(work),
                rival=timed(lambda: silero.feed(sound)),
                floor=timed(lambda: webrtc.decide(sound)),
                rounds=rounds,
            ),
            Goal("figure", "<=", 10.0),
            rival_name=_SILERO,
            floor_name=_WEBRTC,
            detail=detail,
        )
        for name, work in (
            ("10 ms, features and model", whole),
            ("10 ms, model beside a wake word's features", added),
        )
    ]
