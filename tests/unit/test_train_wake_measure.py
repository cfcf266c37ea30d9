"""False accepts, cut-offs, held-out voices and cards, without training anything."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from harken.errors import StartError
from harken_models.train import voices
from harken_models.train.accents import ACCENTS, accented
from harken_models.train.card import table
from harken_models.train.mixednet import Block, Shape
from harken_models.train.phrase import common_words, pronounced
from harken_models.train.streaming import features_as_floats
from harken_models.train.voices import Voice, installed_voices, part_of
from harken_models.train.wake_fit import _other_voices, _paced
from harken_models.train.wake_measure import Stream, accepts_at, chosen_cutoff, false_accepts
from harken_models.train.wake_recipe import Recipe, shape_of


def stream(peaks: dict[int, float], hours: float, steps: int = 2000) -> Stream:
    means = np.zeros(steps)
    for step, value in peaks.items():
        means[step] = value
    return Stream(means, hours)


def test_the_device_does_not_listen_for_a_second_after_it_woke() -> None:
    means = stream({100: 0.9, 110: 0.9, 132: 0.9, 133: 0.9, 500: 0.9}, 1).means
    assert accepts_at(means, 0.5) == [100, 133, 500]
    assert accepts_at(means, 0.9) == []


def test_false_accepts_fall_as_the_cutoff_rises() -> None:
    found = stream({100: 0.6, 300: 0.7, 500: 0.95}, 1)
    assert false_accepts(found, [0.5, 0.65, 0.9, 0.99]) == [3, 2, 1, 0]


def test_the_cutoff_is_the_lowest_that_allows_so_many_false_accepts_a_day() -> None:
    peaks = {100: 0.595, 300: 0.695, 500: 0.955}
    assert chosen_cutoff(stream(peaks, 24)) == 0.70
    # In less than a day none may be.
    assert chosen_cutoff(stream(peaks, 23)) == 0.96
    assert chosen_cutoff(stream(peaks, 48)) == 0.60
    assert chosen_cutoff(stream({100: 1.0}, 1)) == 0.99
    assert chosen_cutoff(stream({}, 1)) == 0.50


def test_all_voices_of_a_talker_belong_to_one_part() -> None:
    for talker in ("kd", "awb", "pico-gb"):
        assert part_of(Voice("flite", "x", talker)) == "test"
        assert part_of(Voice("festival", "y", talker)) == "test"
    for name in ("slt", "cmu_us_slt_arctic_hts"):
        assert part_of(Voice("flite", name, "slt")) == "train"


def test_each_part_has_formant_voices() -> None:
    parts = {part_of(voice) for voice in voices._espeak()}
    assert parts in ({"train", "validation", "test"}, set())


def test_without_any_engine_the_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _name: None)
    monkeypatch.setattr(voices, "find_spec", lambda _name: None)
    with pytest.raises(StartError, match="no text-to-speech engine") as missing:
        installed_voices()
    assert "apt-get install espeak-ng flite festival" in missing.value.hint
    assert "pip install --group voices" in missing.value.hint
    assert "harken models pull piper-joe" in missing.value.hint


def test_every_voice_of_festival_has_a_package() -> None:
    assert voices._FESTVOX.keys() == voices._FESTIVAL.keys()


def test_the_network_fits_a_small_processor() -> None:
    shape = shape_of(Recipe("hey robo"))
    assert shape.macs <= 30_000
    assert 1.3 <= shape.window_rows / 100 <= 2.0


def test_macs_and_window_are_counted_by_hand() -> None:
    shape = Shape((Block((3, 5), 6),), first_filters=4, first_kernel=5, stride=3, head_steps=2)
    assert shape.macs == 5 * 40 * 4 + (2 * 3 + 2 * 5) + 4 * 6 + 2 * 6
    assert shape.history_steps == 4 + 1
    assert shape.window_rows == 3 * 5 + 5


def test_a_pace_of_one_changes_nothing_and_another_stretches_time() -> None:
    scene = np.repeat(np.arange(-128, 127, dtype=np.int8)[:, None], 40, axis=1)
    whole = features_as_floats(scene)
    assert np.array_equal(_paced(scene, 200, 50, 1.0), whole[151:201])
    slow = _paced(scene, 200, 50, 0.5)
    assert np.allclose(slow[-1], whole[200])
    assert np.allclose(slow[-3], whole[199])


def test_other_voices_keep_to_the_scale_and_silence_stays_silent() -> None:
    rng = np.random.default_rng(1)
    values = rng.uniform(0, 26, (64, 30, 40)).astype(np.float32)
    values[:, :5] = 0
    changed = _other_voices(values.copy(), rng)
    assert changed.shape == values.shape
    assert 0 <= changed.min() <= changed.max() <= 26
    assert not changed[:, :5].any()
    assert not np.allclose(changed, values)


def test_a_voice_with_an_accent_is_given_the_phonemes_of_its_language() -> None:
    if shutil.which("espeak-ng") is None:
        pytest.skip("no espeak-ng: apt-get install espeak-ng")
    german, czech = accented(["hey harken!"], "de-DE"), accented(["what", "this"], "czech_ph")
    assert german == [["h", "E", "I", "h", "a:", "6", "k", "@", "n"]]
    assert czech == [["v", "a", "t"], ["d", "i", "s"]]


def test_every_accent_has_all_sounds_of_common_words() -> None:
    if shutil.which("espeak-ng") is None:
        pytest.skip("no espeak-ng: apt-get install espeak-ng")
    spoken = {sound for sounds in pronounced(common_words()) for sound in sounds}
    for voice, known in ACCENTS.items():
        assert spoken - set(known) <= {"?"}, voice  # the glottal stop alone is left out


def test_a_table_is_markdown() -> None:
    assert table(("a", "b"), [(1, "x")]) == "| a | b |\n|---|---|\n| 1 | x |"
