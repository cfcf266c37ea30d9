"""Which phrases can be trained, what the model is called, and what sounds like a phrase."""

from __future__ import annotations

import shutil

import pytest

from harken.errors import ConfigError
from harken_models.train.phrase import (
    checked_phrase,
    common_words,
    confusable_phrases,
    known_words,
    model_name,
    pronounced,
)

needs_espeak = pytest.mark.skipif(
    shutil.which("espeak-ng") is None, reason="no espeak-ng: apt-get install espeak-ng"
)


def test_a_phrase_is_lower_case_with_single_spaces() -> None:
    assert checked_phrase("  Hey   ROBO ") == "hey robo"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("42!", "no letters"),
        ("привет", "no letters"),
        ("hey r2d2", "signs"),
        ('hey "robo', "signs"),
        ("hey\x00robo", "signs"),
        ("ab", "2 letters"),
        ("a" * 41, "41 letters"),
        ("one two three four five six", "6 words"),
    ],
)
def test_what_cannot_be_a_phrase_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as refused:
        checked_phrase(text)
    assert refused.value.hint


def test_a_model_is_named_after_its_phrase() -> None:
    assert model_name("hey robo") == "hey_robo"
    assert model_name("don't o'clock-five") == "don_t_o_clock_five"


def test_common_words_are_words() -> None:
    words = common_words()
    assert len(words) == len(set(words)) > 1000
    assert {"the", "coffee", "don't"} <= set(words)
    assert all(word.replace("'", "").isalpha() for word in words)


def test_known_words_are_the_common_ones_and_rarer_ones() -> None:
    common, known = common_words(), known_words()
    assert known[: len(common)] == common
    assert len(known) == len(set(known)) > 3 * len(common)
    assert "darken" in set(known) - set(common)
    assert all(word.replace("'", "").isalpha() for word in known)


@needs_espeak
def test_pronunciations_are_phonemes_without_stress() -> None:
    assert pronounced(["hey harken", "market"]) == [
        ("h", "eI", "h", "A@", "k", "@", "n"),
        ("m", "A@", "k", "I", "t"),
    ]


@needs_espeak
def test_what_sounds_alike_has_parts_and_neighbours_but_never_the_phrase() -> None:
    found = confusable_phrases("hey harken", 60)
    assert found[:2] == ["hey", "harken"]
    assert {"hey darken", "hey harden"} <= set(found)
    assert len(found) == len(set(found)) == 60
    assert "hey harken" not in found
    assert "hey hearken" not in found  # the same sound, another spelling


@needs_espeak
def test_a_word_that_begins_with_the_phrase_is_not_held_against_it() -> None:
    found = confusable_phrases("stop", 60)
    assert "top" in found
    assert not {"stops", "stopped", "stopping"} & set(found)
