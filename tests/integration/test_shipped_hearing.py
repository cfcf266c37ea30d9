"""The shipped models of voice activity and noise: exact, small, and as good as their cards say."""

from __future__ import annotations

import json
import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from harken_models.core import HOP, Cleaner, Features, Model
from harken_models.measure.ours import SHIPPED
from harken_models.pack import pack

pytestmark = pytest.mark.integration

NAMES = ("vad", "noise", "okay_harken")
TEST_TALKER = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
NO_RECORDINGS = not TEST_TALKER.exists() or shutil.which("ffmpeg") is None
needs_recordings = pytest.mark.skipif(
    NO_RECORDINGS, reason="no recordings: apt-get install asterisk-core-sounds-en-g722 ffmpeg"
)


@pytest.fixture
def talk() -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    """A minute of a talker whom neither model was trained on."""
    from harken_models.scenes import corpora

    said: list[np.ndarray[tuple[int], np.dtype[np.int16]]] = []
    for clip in corpora.speech("test"):
        said += [clip.samples, np.zeros(4000, np.int16)]
        if sum(map(len, said)) > 60 * corpora.RATE:
            break
    return np.concatenate(said)


@pytest.mark.parametrize("name", NAMES)
def test_packed_model_is_that_of_the_published_one(name: str) -> None:
    published = (SHIPPED / f"{name}.tflite").read_bytes()
    assert pack(published) == (SHIPPED / f"{name}.hkm").read_bytes()
    manifest = json.loads((SHIPPED / f"{name}.json").read_bytes())
    assert manifest["model"] == f"{name}.tflite"
    assert manifest["micro"]["feature_step_size"] == 10


@needs_recordings
@pytest.mark.parametrize("name", NAMES)
def test_no_step_differs_from_tensorflow_lite_micro(
    name: str, talk: np.ndarray[tuple[int], np.dtype[np.int16]]
) -> None:
    if find_spec("tflite_micro") is None:
        pytest.skip("no reference: pip install tflite-micro")
    from harken_models.train.check import differing_steps

    rows = Features().run(talk)
    rng = np.random.default_rng(1)
    noise = rng.integers(-128, 128, (500, 40)).astype(np.int8)
    for stream in (rows, noise):
        published = (SHIPPED / f"{name}.tflite").read_bytes()
        assert differing_steps(published, (SHIPPED / f"{name}.hkm").read_bytes(), stream) == 0


def test_the_least_arena_is_found_though_some_smaller_ones_crash_the_reference() -> None:
    if find_spec("tflite_micro") is None:
        pytest.skip("no reference: pip install tflite-micro")
    from harken_models.train.check import arena_size

    published = (SHIPPED / "noise.tflite").read_bytes()
    assert 8192 < arena_size(published) < 24_000


@pytest.mark.parametrize(
    ("name", "outputs", "bytes_of_state"), [("vad", 1, 4096), ("noise", 40, 4096)]
)
def test_it_fits_the_device(name: str, outputs: int, bytes_of_state: int) -> None:
    packed = (SHIPPED / f"{name}.hkm").read_bytes()
    model = Model(packed)
    assert len(packed) <= 24_000
    assert model.state_size <= bytes_of_state
    assert model.stride() == 1
    assert model.run_outputs(np.zeros((3, 40), np.int8)).shape == (3, outputs)
    card = (SHIPPED / f"{name}.md").read_text(encoding="utf-8")
    assert f"{len(packed):,} B packed" in card
    assert f"{model.state_size:,} B on" in card


def test_silence_and_hiss_are_no_speech() -> None:
    model = Model((SHIPPED / "vad.hkm").read_bytes())
    rng = np.random.default_rng(2)
    sounds = [np.zeros(5 * 16_000), 30 * rng.standard_normal(5 * 16_000)]
    for sound in sounds:
        model.reset()
        answers = model.run(Features().run(sound.astype(np.int16)))
        assert (answers[100:] < 128).mean() > 0.99


@needs_recordings
@pytest.mark.parametrize(("background", "least"), [("fan", 0.95), ("typing", 0.9)])
def test_speech_is_told_from_noise(background: str, least: float) -> None:
    from harken_models.measure.detectors import ModelVad
    from harken_models.measure.speech_streams import SpeechCase, hear
    from harken_models.measure.vad_scores import best_lead, end_lags_ms, stream_auc

    stream = hear(SpeechCase(11, background, 5.0, reverberant=False, seconds=40.0))
    heard = ModelVad((SHIPPED / "vad.hkm").read_bytes()).run(stream.samples)
    assert stream_auc(stream, heard, best_lead([stream], [heard])) > least
    assert np.median(end_lags_ms(stream, heard)) <= 50


@needs_recordings
def test_noise_goes_and_the_talker_stays(
    talk: np.ndarray[tuple[int], np.dtype[np.int16]],
) -> None:
    from harken_models.train.noise_judge import with_model

    packed = (SHIPPED / "noise.hkm").read_bytes()
    rng = np.random.default_rng(3)
    hiss = 300 * rng.standard_normal(10 * 16_000)
    cleaned = with_model(packed, hiss.astype(np.int16))
    fall = 20 * np.log10(cleaned[-5 * 16_000 :].std() / hiss.std())
    assert fall < -8
    clean = talk[: 10 * 16_000]
    kept = with_model(packed, clean)
    passed = Cleaner()
    passed.switch(Cleaner.HIGHPASS)
    through = passed.run(clean, None)[0]
    loud = np.square(through.astype(float)).reshape(-1, HOP).mean(axis=1)
    left = np.square(kept.astype(float)).reshape(-1, HOP).mean(axis=1)
    voiced = loud > np.percentile(loud, 60)
    assert 10 * np.log10(left[voiced].sum() / loud[voiced].sum()) > -2


def test_the_card_names_what_it_was_measured_against() -> None:
    card = (SHIPPED / "vad.md").read_text(encoding="utf-8")
    results = json.loads((SHIPPED / "vad.results.json").read_bytes())
    ours, silero = results["harken"], results["Silero"]
    assert ours["area"] >= silero["area"] - 0.01
    assert ours["end_lag_ms"] <= 50
    assert re.search(rf"\b{ours['area']:.3f} \(", card)


@needs_recordings
def test_the_wake_word_is_heard_from_a_voice_never_trained_on_and_not_from_talk(
    talk: np.ndarray[tuple[int], np.dtype[np.int16]], tmp_path: Path
) -> None:
    if shutil.which("flite") is None:
        pytest.skip("no held-out voice: apt-get install flite")
    from harken_models.measure.wake_models import ours, read_model
    from harken_models.train.speaking import Utterance, spoken
    from harken_models.train.surroundings import as_wake_words_hear
    from harken_models.train.voices import Voice, part_of

    awb = Voice("flite", "awb", "awb")
    assert part_of(awb) == "test"
    texts = [Utterance(awb, "okay harken", speed) for speed in (0.85, 0.9, 0.95, 1.0, 1.05, 1.1)]
    word = read_model(SHIPPED / "okay_harken.tflite")

    def wakes(samples: np.ndarray[tuple[int], np.dtype[np.int16]]) -> bool:
        means = word.means(ours(word, as_wake_words_hear(samples)))
        return bool(means.max() > word.cutoff)

    quiet = np.zeros(16_000, np.int16)
    heard = [
        wakes(np.concatenate([quiet, said, quiet])) for said in spoken(texts, tmp_path, told_nobody)
    ]
    assert sum(heard) >= 5
    assert not wakes(talk[: 30 * 16_000])


def told_nobody(_done: int, _total: int, _note: str) -> None:
    """Progress that nobody watches."""
