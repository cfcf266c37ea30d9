"""The speech features are those of TensorFlow Lite Micro's front end, value for value."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from harken_models.core import FEATURES, HOP, Features

if TYPE_CHECKING:
    from .conftest import Rows, Samples

pytestmark = pytest.mark.integration

# As pymicro-wakeword and the models have it: the float32 nearest to 26/255.
SCALE = np.float32(26 / 255)


def front_end(pcm: Samples) -> Rows:
    """What pymicro-features makes of int16 [n], quantised as pymicro-wakeword does."""
    if find_spec("pymicro_features") is None:
        pytest.skip("no reference front end here: run `make setup` (package pymicro-features)")
    front: Any = import_module("pymicro_features").MicroFrontend()
    rows: list[list[float]] = []
    for start in range(0, pcm.size - HOP + 1, HOP):
        features = front.process_samples(pcm[start : start + HOP].tobytes()).features
        if features:
            rows.append(features)
    # The reference's cast would wrap around where a feature is off the scale.
    stored = np.clip(np.round(np.array(rows) / SCALE - 128), -128, 127)
    return stored.astype(np.int8).reshape(-1, FEATURES)


def assert_same(pcm: Samples) -> None:
    ours, theirs = Features().run(pcm), front_end(pcm)
    assert ours.shape == theirs.shape
    assert np.count_nonzero(ours != theirs) == 0


def test_a_minute_of_human_speech(recording: Samples) -> None:
    assert recording.size >= 60 * 16000
    assert_same(recording)


def test_the_synthetic_voice(clip: Samples) -> None:
    assert_same(clip)


def _chirp(seconds: float, amplitude: float) -> Samples:
    at = np.arange(int(seconds * 16000)) / 16000
    return (amplitude * np.sin(2 * np.pi * (50 + 7800 * at / seconds / 2) * at)).astype(np.int16)


@pytest.mark.parametrize(
    "sound",
    [
        "silence",
        "whisper",
        "full noise",
        "square wave",
        "lowest sample",
        "clicks",
        "chirp",
        "steps",
    ],
)
def test_sounds_at_the_edges_of_the_arithmetic(sound: str) -> None:
    rng = np.random.default_rng(11)
    count = 3 * 16000
    clicks = np.zeros(count, np.int16)
    clicks[::1777] = -32768
    sounds = {
        "silence": np.zeros(count, np.int16),
        "whisper": rng.integers(-2, 3, count).astype(np.int16),
        "full noise": rng.integers(-32768, 32768, count).astype(np.int16),
        "square wave": np.where(np.arange(count) // 20 % 2, 32767, -32768).astype(np.int16),
        "lowest sample": np.full(count, -32768, np.int16),
        "clicks": clicks,
        "chirp": _chirp(3, 32000),
        "steps": np.repeat(rng.integers(-32768, 32768, count // 100), 100).astype(np.int16),
    }
    assert_same(sounds[sound])


def test_features_run_over_the_whole_scale(recording: Samples) -> None:
    rows = Features().run(recording)
    assert rows.min() == -128
    assert rows.max() > 100
