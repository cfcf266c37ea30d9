"""`harken bench vad`: our voice activity detector beside Silero's and WebRTC's.

All take the same streams of human talkers, of whom our model has heard none in training, in quiet,
noise and music (`harken_models.measure.speech_streams`). What is true is known from the clean
recordings and was decided by no detector. A babble of other voices is shown but not counted in any
figure: nobody can say which of the talkers a detector ought to have heard.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

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
from harken_models.core import HOP, Features, Model, Vad
from harken_models.measure.detectors import EnergyVad, ModelVad, SileroDetector, WebRtcVad
from harken_models.measure.needs import VAD
from harken_models.measure.ours import shipped_tflite
from harken_models.measure.speech_streams import cases, hear
from harken_models.measure.vad_accuracy import measure_vad
from harken_models.pack import pack
from harken_models.train.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np

    from harken_models.measure.detectors import Detector
    from harken_models.measure.vad_accuracy import VadAccuracy

    Samples = np.ndarray[tuple[int], np.dtype[np.int16]]

__all__ = ["QUICK", "ROUNDS", "SETTINGS", "run"]

QUICK: Final = True
ROUNDS: Final = MIN_ROUNDS
SETTINGS: Final[dict[str, Setting]] = {}

_OURS, _SILERO, _WEBRTC = "harken", "Silero", "WebRTC VAD"
_TIMED_S: Final = 20


def run(options: BenchOptions) -> BenchResult:
    """Area under the ROC curve, lag of the end of speech, and CPU.

    Raises:
        StartError: a rival or a corpus is not installed.
        ModelError: Silero's model is not in the store, or ours is not shipped.
    """
    VAD.check("`harken bench vad`")
    progress = Progress(quiet=options.silent)
    model = pack(shipped_tflite("vad").read_bytes())
    detectors: list[Detector] = [
        ModelVad(model),
        ModelVad(model, "harken, on cleaned sound", cleaned=True),
        EnergyVad(),
        SileroDetector(),
        WebRtcVad(),
    ]
    found = measure_vad(detectors, progress, quick=options.quick)
    with progress.showing("CPU"):
        cpu = _cpu(model, hear(cases()[0]).samples, options.rounds)
    data = {
        "roc": {name: accuracy.curve for name, accuracy in found.items()},
        "auc": {name: dict(accuracy.groups) for name, accuracy in found.items()},
    }
    return BenchResult("vad", (*_figures(found), *cpu), data)


def _figures(found: Mapping[str, VadAccuracy]) -> list[Figure]:
    areas = {name: accuracy.area for name, accuracy in found.items()}
    lags = {name: accuracy.end_lag_ms for name, accuracy in found.items()}
    return [
        counted(
            "area under the ROC curve, mean over the streams",
            "AUC",
            Goal("difference", ">=", -0.01),
            areas[_OURS],
            rival=(_SILERO, areas[_SILERO]),
            floor=(_WEBRTC, areas[_WEBRTC]),
            detail={
                "by": areas,
                "by background": {name: dict(each.groups) for name, each in found.items()},
                "minutes": round(found[_OURS].minutes, 1),
            },
        ),
        counted(
            "lag of the end of speech, median",
            "ms",
            Goal("figure", "<=", 50.0),
            lags[_OURS],
            rival=(_SILERO, lags[_SILERO]),
            floor=(_WEBRTC, lags[_WEBRTC]),
            detail={"by": lags, "more": {name: dict(each.ends) for name, each in found.items()}},
        ),
    ]


def _cpu(model: bytes, samples: Samples, rounds: int) -> list[Figure]:
    """CPU of 10 ms: all that the detector needs, and what it adds where features are there."""
    sound = samples[: _TIMED_S * 16_000]
    hops = len(sound) // HOP
    rows = Features().run(sound)
    silero, webrtc = SileroDetector(), WebRtcVad()
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
