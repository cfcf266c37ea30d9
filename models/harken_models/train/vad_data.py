"""Scenes as a network sees them: rows of features, with what it should answer to each.

The network hears the speech features of the device. What a voice activity model should say of a
row is whether the talker speaks in its newest hop; what a noise model should say is how much of
each band of the *next* frame is the talker, since its gains are applied to that one: the ideal
ratio mask (Srinivasan, Roman and Wang, "Binary and ratio time-frequency masks for robust speech
recognition", 2006).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from harken_models.core import FEATURES, Features
from harken_models.scenes.labels import HOP
from harken_models.scenes.mix import RATE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from harken_models.train.progress import Report
    from harken_models.train.vad_scenes import Scenes

    Floats = NDArray[np.float64]

__all__ = ["Heard", "band_masks", "load", "record", "windows"]

_FRAME = 2 * HOP
_BINS = _FRAME // 2 + 1
_LOW_HZ, _HIGH_HZ = 125.0, 7500.0
_FIRST_ROW = 2  # the hop with which the first row comes
_HUSH = 1.0  # power of a band that nobody hears, in int16 units squared


@dataclass(frozen=True)
class Heard:
    """Scenes, row by row.

    Attributes:
        rows: int8 [scenes, rows, 40].
        labels: int8 [scenes, rows], SPEECH, SILENCE or UNSURE for each row's newest hop.
        masks: uint8 [scenes, rows, 40], the talker's share of the next frame, 255 for all.
    """

    rows: NDArray[np.int8]
    labels: NDArray[np.int8]
    masks: NDArray[np.uint8]


def record(folder: Path, scenes: Scenes, count: int, report: Report) -> None:
    """Draw scenes and keep in `folder` what `load` gives."""
    rows: list[Any] = []
    labels: list[Any] = []
    masks: list[Any] = []
    for done in range(count):
        report(done, count, "")
        scene = scenes.draw()
        heard = Features().run(scene.mic)
        # The last row has no frame after it.
        heard = heard[:-1]
        rows.append(heard)
        labels.append(scene.labels[_FIRST_ROW : _FIRST_ROW + len(heard)])
        mask = band_masks(scene.early, scene.mic - scene.early)
        masks.append(mask[_FIRST_ROW : _FIRST_ROW + len(heard)])
    report(count, count, "")
    np.save(folder / "rows.npy", np.stack(rows))
    np.save(folder / "labels.npy", np.stack(labels))
    np.save(folder / "masks.npy", np.stack(masks))


def load(folder: Path) -> Heard:
    """What `record` kept."""
    return Heard(*(np.load(folder / f"{name}.npy") for name in ("rows", "labels", "masks")))


def windows(
    heard: Heard, wanted: Sequence[NDArray[Any]], rows: int, batch: int, rng: np.random.Generator
) -> Iterator[list[NDArray[Any]]]:
    """Batches of windows from random places, without end.

    Args:
        heard: where they come from.
        wanted: [scenes, rows, ...] each, cut like the rows.
        rows: of a window.
        batch: windows in a batch.
        rng: where chance comes from.

    Yields:
        int8 [batch, rows, 40], then the same cut of each of `wanted`.
    """
    scenes, length = heard.rows.shape[:2]
    while True:
        picks = rng.integers(scenes, size=batch)
        starts = rng.integers(length - rows + 1, size=batch)
        cuts = [
            (pick, slice(start, start + rows)) for pick, start in zip(picks, starts, strict=True)
        ]
        yield [np.stack([every[cut] for cut in cuts]) for every in (heard.rows, *wanted)]


def band_masks(speech: Floats, noise: Floats) -> NDArray[np.uint8]:
    """The talker's share of every band, as a factor of the amplitude.

    Frames are the cleaner's: 20 ms, the root of a Hann window.

    Args:
        speech: float64 [n], 16 kHz, int16 units.
        noise: the same of all else.

    Returns:
        uint8 [n // 160 - 1, 40]; row t is of the frame of hops t and t + 1; 255 passes all.
    """
    spoken, rest = (_band_powers(each) for each in (speech, noise))
    share = np.sqrt(spoken / np.maximum(spoken + rest, _HUSH))
    return np.asarray(np.rint(255 * np.minimum(share, 1.0)), np.uint8)


def _band_powers(samples: Floats) -> Floats:
    hops = samples.size // HOP
    frames = sliding_window_view(samples[: hops * HOP], _FRAME)[::HOP]
    window = np.sqrt(np.hanning(_FRAME + 1)[:-1])
    spectrum = np.fft.rfft(frames * window, axis=1)
    powers = np.square(spectrum.real) + np.square(spectrum.imag)
    return np.asarray(powers @ _bands() / _FRAME)


def _bands() -> Floats:
    """Triangles over the features' bands, evenly spaced in mel: [bins, 40], each of sum 1."""
    low, high = (1127 * np.log1p(hz / 700) for hz in (_LOW_HZ, _HIGH_HZ))
    mel = 1127 * np.log1p(np.arange(_BINS) * RATE / _FRAME / 700)
    place = (mel - low) / (high - low) * (FEATURES + 1)
    weights = np.maximum(1 - np.abs(place[:, None] - np.arange(1, FEATURES + 1)), 0)
    # A narrow band between two bins takes the nearer one.
    nearest = np.argmin(np.abs(place[:, None] - np.arange(1, FEATURES + 1)), axis=0)
    empty = weights.sum(axis=0) == 0
    weights[nearest[empty], np.flatnonzero(empty)] = 1.0
    return np.asarray(weights / weights.sum(axis=0))
