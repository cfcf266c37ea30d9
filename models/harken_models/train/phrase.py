"""The phrase that a wake word is trained for, and what sounds like it.

What sounds alike is found in pronunciations (espeak-ng's), not in spelling: words at a small edit
distance in phonemes, put in the place of each word, and parts of the phrase alone.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from importlib.resources import files
from itertools import pairwise
from typing import TYPE_CHECKING

from harken.errors import ConfigError, StartError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["checked_phrase", "common_words", "confusable_phrases", "model_name", "pronounced"]

_MOST_LETTERS = 40
_MOST_WORDS = 5
_LEAST_LETTERS = 3
_ALLOWED = re.compile(r"[A-Za-z][A-Za-z' -]*")
_SIGNS = re.compile(r"[^A-Za-z' -]")
_VOWELS = frozenset("aeiouAEIOU@3V0&")
_DEADLINE_S = 60.0
_NEAR = 0.6
"""Edit distance per phoneme under which a word counts as sounding alike."""
_DIFFERENT = 0.9
"""What a whole phrase must differ by at least: less, and people would say that it was said."""


def checked_phrase(text: str) -> str:
    """The phrase in lower case with single spaces.

    Raises:
        ConfigError: it is empty, has no letters or other signs than letters, or is too long.
    """
    phrase = " ".join(text.split())
    if not re.search(r"[A-Za-z]", phrase):
        raise ConfigError(
            "the phrase has no letters" if phrase else "the phrase is empty",
            hint='say it as it is spoken, for example "hey robo"',
        )
    if not _ALLOWED.fullmatch(phrase):
        raise ConfigError(
            "the phrase has signs that are not Latin letters, spaces, apostrophes or hyphens",
            hint="spell numbers out, and words of other scripts as English would write them",
        )
    letters = sum(char.isalpha() for char in phrase)
    if letters < _LEAST_LETTERS:
        raise ConfigError(
            f"the phrase has {letters} letters", hint=f"take {_LEAST_LETTERS} or more"
        )
    if letters > _MOST_LETTERS or len(phrase.split()) > _MOST_WORDS:
        raise ConfigError(
            f"the phrase has {letters} letters in {len(phrase.split())} words",
            hint=f"take at most {_MOST_LETTERS} letters and {_MOST_WORDS} words; the model hears "
            "about a second and a half",
        )
    return phrase.lower()


def model_name(phrase: str) -> str:
    """The name of the files of the phrase's model, e.g. `hey_robo`."""
    return re.sub(r"[^a-z]+", "_", phrase).strip("_")


def common_words() -> list[str]:
    """English words, commoner ones first."""
    text = files("harken_models.train").joinpath("words_en.txt").read_text(encoding="utf-8")
    return text.split()


def pronounced(texts: Sequence[str]) -> list[tuple[str, ...]]:
    """The phonemes of each text in American English, stress left out.

    Raises:
        StartError: espeak-ng is not installed, or fails.
    """
    if shutil.which("espeak-ng") is None:
        raise StartError(
            "espeak-ng is not installed: pronunciations are not known",
            hint="apt-get install espeak-ng",
        )
    # A full stop keeps it from joining lines into one sentence; another sign would part one.
    spoken = "".join(f"{re.sub(_SIGNS, ' ', text)} .\n" for text in texts)
    done = subprocess.run(
        ["espeak-ng", "-q", "-v", "en-us", "-x", "--sep=_"],
        input=spoken, capture_output=True, text=True, timeout=_DEADLINE_S, check=False,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    if done.returncode or len(lines) != len(texts):
        raise StartError(f"espeak-ng pronounced {len(lines)} of {len(texts)} texts: {done.stderr}")
    return [_phonemes(line) for line in lines]


def _phonemes(line: str) -> tuple[str, ...]:
    """The mnemonics in a line of them, without stress, pauses and numbers of allophones."""
    plain = re.sub(r"[',%=:|;!]", "", line)
    parts = re.split(r"[_\s]+", plain)
    return tuple(part if part in {"0", "3", "2"} else part.rstrip("2") for part in parts if part)


def confusable_phrases(phrase: str, most: int) -> list[str]:
    """Phrases that sound like `phrase` and are not it, the most alike first.

    Parts of it alone, each word's near ones in its place, and near words alone.

    Args:
        phrase: as `checked_phrase` gives it.
        most: how many at most.

    Raises:
        StartError: as `pronounced`.
    """
    words = phrase.split()
    vocabulary = [word for word in common_words() if word not in words]
    lexicon = dict(zip(vocabulary, pronounced(vocabulary), strict=True))
    near = [_nearest(said, lexicon) for said in pronounced(words)]
    texts = list(dict.fromkeys([*_parts(words), *_replaced(words, near), *_alone(near)]))
    target = pronounced([phrase])[0]
    said = pronounced(texts)
    ranked = sorted(
        (_distance(sounds, target), number)
        for number, sounds in enumerate(said)
        # Whoever says "stopped" has said "stop": nothing that runs along can tell before the end.
        if not _contains(sounds, target)
    )
    ranked = [each for each in ranked if each[0] >= _DIFFERENT]
    parts = [text for text in _parts(words) if text in texts]
    chosen = [texts[number] for _, number in ranked if texts[number] not in parts]
    return (parts + chosen)[:most]


def _contains(sounds: tuple[str, ...], target: tuple[str, ...]) -> bool:
    starts = range(len(sounds) - len(target) + 1)
    return any(sounds[at : at + len(target)] == target for at in starts)


def _parts(words: Sequence[str]) -> list[str]:
    """The phrase's beginnings and ends, single words among them."""
    heads = [" ".join(words[:count]) for count in range(1, len(words))]
    tails = [" ".join(words[count:]) for count in range(1, len(words))]
    return list(dict.fromkeys(heads + tails))


def _replaced(words: Sequence[str], near: Sequence[Sequence[str]]) -> Iterable[str]:
    if len(words) == 1:
        return
    for place, others in enumerate(near):
        for other in others:
            yield " ".join([*words[:place], other, *words[place + 1 :]])


def _alone(near: Sequence[Sequence[str]]) -> Iterable[str]:
    for others in near:
        yield from others
    for first, second in pairwise(near):
        for one, two in zip(first, second, strict=False):
            yield f"{one} {two}"


def _nearest(said: tuple[str, ...], lexicon: dict[str, tuple[str, ...]]) -> list[str]:
    """Words that sound like `said` and are not homophones, nearest first."""
    ranked = sorted((_distance(sound, said), word) for word, sound in lexicon.items())
    limit = max(1.0, _NEAR * len(said))
    return [word for distance, word in ranked if 0 < distance <= limit][:60]


def _distance(one: tuple[str, ...], other: tuple[str, ...]) -> float:
    """Edit distance in phonemes; a vowel for another vowel is half a change."""
    row = [float(number) for number in range(len(other) + 1)]
    for number, here in enumerate(one, 1):
        before, row[0] = row[0], float(number)
        for at, there in enumerate(other, 1):
            changed = before + _change(here, there)
            before = row[at]
            row[at] = min(changed, row[at] + 1, row[at - 1] + 1)
    return row[-1]


def _change(one: str, other: str) -> float:
    if one == other:
        return 0.0
    return 0.5 if one[0] in _VOWELS and other[0] in _VOWELS else 1.0
