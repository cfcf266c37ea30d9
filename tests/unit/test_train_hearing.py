"""Scenes to train voice activity and noise models with, and what is wanted of each row."""

from __future__ import annotations

import numpy as np
import pytest

from harken.errors import ConfigError
from harken_models.scenes.labels import HOP, SILENCE, SPEECH, UNSURE
from harken_models.scenes.mix import RATE
from harken_models.train.vad_data import band_masks, load, record, windows
from harken_models.train.vad_noises import EXTRA_KINDS, extra_noise
from harken_models.train.vad_scenes import Scenes, Sources, room_response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SECONDS = 4.0


def clip(rng: np.random.Generator) -> NDArray[np.int16]:
    """A second of a buzzing voice between silence."""
    at = np.arange(RATE) / RATE
    voice = sum(np.sin(2 * np.pi * 130 * n * at + rng.uniform(0, 6)) / n for n in range(1, 20))
    quiet = np.zeros(RATE // 2)
    sound = np.concatenate([quiet, 4000 * np.asarray(voice), quiet])
    return np.asarray(sound + rng.standard_normal(sound.size), np.int16)


def white(seconds: float, rng: np.random.Generator) -> NDArray[np.float64]:
    return rng.standard_normal(round(seconds * RATE))


@pytest.fixture
def sources() -> Sources:
    rng = np.random.default_rng(1)
    talkers = {name: [clip(rng) for _ in range(2)] for name in ("one", "two")}
    return Sources(talkers, [clip(rng)], white)


def drawn(sources: Sources, seed: int, count: int = 12, **settings: object) -> Scenes:
    return Scenes(sources, np.random.default_rng(seed), seconds=SECONDS, **settings)  # type: ignore[arg-type]  # of each test


def test_the_same_seed_gives_the_same_scenes(sources: Sources) -> None:
    one, other = drawn(sources, 5), drawn(sources, 5)
    for _ in range(4):
        first, second = one.draw(), other.draw()
        assert np.array_equal(first.mic, second.mic)
        assert np.array_equal(first.labels, second.labels)
    assert not np.array_equal(first.mic, drawn(sources, 6).draw().mic)


def test_labels_lie_where_the_talker_is(sources: Sources) -> None:
    scenes = drawn(sources, 2, snr_db=(30.0, 30.0), silent=0.0)
    for _ in range(10):
        scene = scenes.draw()
        assert scene.mic.size == SECONDS * RATE
        assert scene.labels.size == SECONDS * RATE / HOP
        levels = np.square(scene.speech).reshape(-1, HOP).mean(axis=1)
        spoken, silent = levels[scene.labels == SPEECH], levels[scene.labels == SILENCE]
        assert np.median(spoken) > 100 * np.median(silent)


def test_nobody_talks_in_silent_scenes(sources: Sources) -> None:
    scene = drawn(sources, 3, silent=1.0).draw()
    assert not scene.speech.any()
    assert set(scene.labels) == {SILENCE}
    assert scene.mic.any(), "there is noise all the same"


def test_noise_is_as_loud_as_asked(sources: Sources) -> None:
    for snr_db in (0.0, 20.0):
        scenes = drawn(Sources(sources.speech, [], white), 4, snr_db=(snr_db, snr_db), silent=0.0)
        ratios: list[float] = []
        for _ in range(8):
            scene = scenes.draw()
            if np.abs(scene.mic).max() > 32_000 or np.square(scene.speech).mean() < 100:
                continue
            spoken = np.square(scene.speech.reshape(-1, HOP)[scene.labels == SPEECH]).mean()
            noise = np.square(scene.mic - scene.speech).mean()
            ratios.append(float(10 * np.log10(spoken / noise)))
        assert np.median(ratios) == pytest.approx(snr_db, abs=4)


def test_without_talkers_there_is_nothing_to_train_with() -> None:
    with pytest.raises(ConfigError, match="no speech"):
        Scenes(Sources({}, [], white), np.random.default_rng(1))


def test_a_room_answers_directly_first_and_dies_away() -> None:
    rng = np.random.default_rng(7)
    for _ in range(20):
        taps = room_response(rng)
        assert taps[0] == 1.0
        tenth = taps.size // 10
        start, end = np.square(taps[tenth : 3 * tenth]).sum(), np.square(taps[-tenth:]).sum()
        assert end < 1e-3 * start


@pytest.mark.parametrize("kind", sorted(EXTRA_KINDS))
def test_noises_are_what_was_asked_for(kind: str) -> None:
    some = [extra_noise(kind, 3 * RATE, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    for sound in some:
        assert sound.shape == (3 * RATE,)
        assert np.sqrt(np.mean(sound**2)) == pytest.approx(1.0)
    assert np.array_equal(some[0], some[1])
    assert not np.array_equal(some[0], some[2])


def test_masks_pass_the_talker_and_stop_the_noise() -> None:
    rng = np.random.default_rng(8)
    at = np.arange(RATE) / RATE
    tone = 3000 * np.sin(2 * np.pi * 1000 * at)
    noise = 1.0 * rng.standard_normal(RATE)
    nothing = np.zeros(RATE)
    assert band_masks(tone, nothing).shape == (RATE // HOP - 1, 40)
    assert (band_masks(nothing, 1000 * noise) == 0).all()
    mask = band_masks(tone, 30 * noise).mean(axis=0)
    # The band at 1 kHz, by the table of the cleaner that applies the gains.
    assert mask[12] > 250
    assert mask[12] > mask[20] + 100 > mask[35:].max() + 100
    assert mask[35:].max() < 20
    half = band_masks(1000 * noise, 1000 * rng.standard_normal(RATE)).mean()
    assert half == pytest.approx(255 * 0.5**0.5, abs=12)


def test_rows_labels_and_masks_belong_together(sources: Sources, tmp_path: Path) -> None:
    record(tmp_path, drawn(sources, 9, snr_db=(30.0, 30.0)), 3, lambda *_: None)
    heard = load(tmp_path)
    rows = int(SECONDS * 100) - 3
    assert heard.rows.shape == heard.masks.shape == (3, rows, 40)
    assert heard.labels.shape == (3, rows)
    spoken = heard.labels == SPEECH
    assert heard.masks[spoken].mean() > 3 * heard.masks[heard.labels == SILENCE].mean()
    loud = heard.rows.astype(int).mean(axis=2)
    assert loud[spoken].mean() > loud[heard.labels == SILENCE].mean() + 10


def test_windows_are_cut_alike(sources: Sources, tmp_path: Path) -> None:
    record(tmp_path, drawn(sources, 10), 2, lambda *_: None)
    heard = load(tmp_path)
    batches = windows(heard, (heard.rows[..., 0],), 50, 6, np.random.default_rng(1))
    rows, first = next(batches)
    assert rows.shape == (6, 50, 40)
    assert np.array_equal(rows[..., 0], first)


def test_after_the_end_of_speech_an_answer_counts_more() -> None:
    from harken_models.train.vad import label_weights

    labels = np.array([[SILENCE] * 5 + [SPEECH] * 20 + [UNSURE] * 2 + [SILENCE] * 30], np.int8)
    weights = label_weights(labels)[0]
    assert set(weights[:25]) == {1.0}
    assert set(weights[25:27]) == {0.0}
    assert weights[27] > 1
    assert weights[-1] == 1
