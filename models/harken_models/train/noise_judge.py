"""How well the noise model cleans, beside the statistical suppressor and nothing at all.

Talkers, music and kinds of noise of the test split. SI-SDR is against the talker without late
reverberation (Le Roux et al., "SDR - half-baked or well done?", 2019); ESTOI estimates how much of
it is understood (Jensen and Taal, "An algorithm for predicting the intelligibility of speech masked
by modulated noise maskers", 2016); DNSMOS what listeners would say (Reddy et al., ITU-T P.835
scales, 2022).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from harken.errors import StartError
from harken_models.core import FEATURES, HOP, Cleaner, Features, Model
from harken_models.scenes.corpora import NOISES
from harken_models.train.vad_scenes import Scenes, split_sources

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from harken_models.train.progress import Report
    from harken_models.train.vad_scenes import Scene

    Samples = NDArray[np.int16]

__all__ = ["SNRS_DB", "Cleaned", "judge_noise", "with_model"]

SNRS_DB: Final = (0.0, 7.0, 15.0)
_RATE: Final = 16_000
_SEED: Final = 4711


class Cleaned(msgspec.Struct, frozen=True):
    """One way of cleaning at one ratio of talker to noise; means over the scenes.

    Attributes:
        name: of the way.
        snr_db: the talker over the noise.
        si_sdr_db: scale-invariant signal to distortion ratio.
        estoi: up to 1.
        signal, background, overall: DNSMOS, 1 to 5.
        scenes: how many.
    """

    name: str
    snr_db: float
    si_sdr_db: float
    estoi: float
    signal: float
    background: float
    overall: float
    scenes: int


def judge_noise(packed: bytes, report: Report, *, scenes: int = 10) -> list[Cleaned]:
    """Measure a packed noise model and the other ways on the same scenes.

    Args:
        packed: the `.hkm` file.
        report: called with scenes done.
        scenes: of ten seconds, at each ratio.

    Raises:
        StartError: recordings, `pystoi` or `speechmos` are not installed.
    """
    ways: dict[str, Callable[[Samples], Samples]] = {
        "nothing": lambda mic: _cleaned(mic, Cleaner.HIGHPASS),
        "statistical": lambda mic: _cleaned(mic, Cleaner.HIGHPASS | Cleaner.NOISE),
        "model": lambda mic: with_model(packed, mic),
    }
    kinds = [kind for kind in NOISES["test"] if kind != "babble"]
    sources = split_sources("test", kinds)
    found: list[Cleaned] = []
    for place, snr_db in enumerate(SNRS_DB):
        rng = np.random.default_rng(_SEED)
        drawn = Scenes(sources, rng, snr_db=(snr_db, snr_db), silent=0.0)
        scores: dict[str, list[NDArray[np.float64]]] = {name: [] for name in ways}
        for done in range(scenes):
            report(place * scenes + done, len(SNRS_DB) * scenes, f"{snr_db:.0f} dB")
            scene = drawn.draw()
            for name, way in ways.items():
                scores[name].append(_scores(scene, way(scene.mic)))
        for name, every in scores.items():
            sdr, estoi, *opinions = (round(float(value), 2) for value in np.mean(every, axis=0))
            signal, background, overall = opinions
            found.append(Cleaned(name, snr_db, sdr, estoi, signal, background, overall, scenes))
    report(1, 1, "")
    return found


def with_model(packed: bytes, mic: Samples) -> Samples:
    """A sound as the device cleans it with a noise model, high-passed, without gain control.

    Args:
        packed: the noise model.
        mic: int16 [n], 16 kHz.

    Returns:
        int16 [n // 160 * 160], a hop behind `mic`.
    """
    cleaner, features, model = Cleaner(), Features(), Model(packed)
    cleaner.switch(Cleaner.HIGHPASS | Cleaner.NOISE)
    linear, out = bytearray(2 * HOP), bytearray(2 * HOP)
    row, gains = bytearray(FEATURES), bytearray(FEATURES)
    cleaned = bytearray()
    data = mic.tobytes()
    for start in range(0, len(data) - 2 * HOP + 1, 2 * HOP):
        cleaner.step(data[start : start + 2 * HOP], None, out, linear)
        cleaned += out
        if features.step(linear, row) and model.step(row) >= 0:
            model.outputs(gains)
            cleaner.gains(gains)
    return np.frombuffer(bytes(cleaned), np.int16)


def _cleaned(mic: Samples, parts: int) -> Samples:
    cleaner = Cleaner()
    cleaner.switch(parts)
    return np.asarray(cleaner.run(mic, None)[0])


def _scores(scene: Scene, out: Samples) -> NDArray[np.float64]:
    """SI-SDR, ESTOI and DNSMOS's three; `out` is a hop behind the scene."""
    wanted = scene.early[: out.size - HOP]
    got = out[HOP:].astype(np.float64)
    loudest = max(float(np.abs(got).max()), 1.0)
    intelligibility, dnsmos = _module("pystoi"), _module("speechmos.dnsmos")
    # Level is none of noise suppression's business, but DNSMOS hears it.
    heard = (got / loudest * 0.5).astype(np.float32)
    opinion = dnsmos.run(heard, sr=_RATE)
    return np.array(
        [
            _si_sdr_db(wanted, got),
            intelligibility.stoi(wanted, got, _RATE, extended=True),
            opinion["sig_mos"],
            opinion["bak_mos"],
            opinion["ovrl_mos"],
        ]
    )


def _si_sdr_db(wanted: NDArray[np.float64], got: NDArray[np.float64]) -> float:
    share = wanted * (wanted @ got / max(float(wanted @ wanted), 1e-9))
    rest = got - share
    return float(10 * np.log10((share @ share + 1e-9) / (rest @ rest + 1e-9)))


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise StartError(
            f"{name.partition('.')[0]} is not installed: nothing can say how clean a sound is",
            hint="`pip install --group measure` in the checkout installs what measuring needs",
        ) from error
