"""The phrase that a wake word is trained for, and what sounds like it.

What sounds alike is found in pronunciations (espeak-ng's), not in spelling: words at a small edit
distance in phonemes, put in the place of each word, and parts of the phrase alone.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache
from importlib.resources import files
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np

from harken.errors import ConfigError, StartError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = [
    "checked_phrase",
    "common_words",
    "confusable_phrases",
    "known_words",
    "model_name",
    "pronounced",
]

_MOST_LETTERS = 40
_MOST_WORDS = 5
_LEAST_LETTERS = 3
_ALLOWED = re.compile(r"[A-Za-z][A-Za-z' -]*")
_SIGNS = re.compile(r"[^A-Za-z' -]")
_VOWELS = frozenset("aeiouAEIOU@3V0&")
_DEADLINE_S, _DEADLINE_OF_EACH_S = 60.0, 0.02
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
    """The commonest few thousand English words."""
    return _words_by_rarity()[0]


def known_words() -> list[str]:
    """English words: the common ones, then rarer ones."""
    return [word for section in _words_by_rarity() for word in section]


def _words_by_rarity() -> list[list[str]]:
    """The list's sections; comments part them."""
    text = files("harken_models.train").joinpath("words_en.txt").read_text(encoding="utf-8")
    return [section.split() for section in re.split(r"(?m)(?:^#.*\n)+", text) if section]


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
        input=spoken, capture_output=True, text=True, check=False,
        timeout=_DEADLINE_S + len(texts) * _DEADLINE_OF_EACH_S,
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
    """Phrases that sound like `phrase` and are not it.

    Parts of it alone; then in turn, each kind the most alike first: near words in the place of each
    of its words, in the place of all, and alone.

    Args:
        phrase: as `checked_phrase` gives it.
        most: how many at most.

    Raises:
        StartError: as `pronounced`.
    """
    words = phrase.split()
    lexicon = {word: sounds for word, sounds in _lexicon().items() if word not in words}
    near = [_nearest(said, lexicon)[:most] for said in pronounced(words)]
    parts, target = _parts(words), pronounced([phrase])[0]
    kinds = [_ranked(texts, target) for texts in (*_replaced(words, near), _alone(near)) if texts]
    turns = [text for turn in zip_longest(*kinds, fillvalue="") for text in turn if text]
    return list(dict.fromkeys([*parts, *turns]))[:most]


@cache
def _lexicon() -> dict[str, tuple[str, ...]]:
    """The sounds of every known word; espeak-ng takes seconds for them."""
    words = known_words()
    return dict(zip(words, pronounced(words), strict=True))


def _ranked(texts: Sequence[str], target: tuple[str, ...]) -> list[str]:
    """The texts that do not sound like `target` itself, the most alike first."""
    said = pronounced(texts)
    distances = _distances(said, target)
    nearest: list[int] = np.argsort(distances, kind="stable").tolist()
    return [
        texts[number]
        for number in nearest
        if distances[number] >= _DIFFERENT
        # Whoever says "stopped" has said "stop": nothing that runs along can tell before the end.
        and not _contains(said[number], target)
    ]


def _contains(sounds: tuple[str, ...], target: tuple[str, ...]) -> bool:
    starts = range(len(sounds) - len(target) + 1)
    return any(sounds[at : at + len(target)] == target for at in starts)


def _parts(words: Sequence[str]) -> list[str]:
    """The phrase's beginnings and ends, single words among them."""
    heads = [" ".join(words[:count]) for count in range(1, len(words))]
    tails = [" ".join(words[count:]) for count in range(1, len(words))]
    return list(dict.fromkeys(heads + tails))


def _replaced(words: Sequence[str], near: Sequence[Sequence[str]]) -> list[list[str]]:
    """For each place the phrases with a near word there, and at the end those with all replaced."""
    if len(words) == 1:
        return []
    one = [
        [" ".join([*words[:place], other, *words[place + 1 :]]) for other in others]
        for place, others in enumerate(near)
    ]
    return [*one, [" ".join(each) for each in zip(*near, strict=False)]]


def _alone(near: Sequence[Sequence[str]]) -> list[str]:
    return list(dict.fromkeys(word for others in near for word in others))


def _nearest(said: tuple[str, ...], lexicon: dict[str, tuple[str, ...]]) -> list[str]:
    """Words that sound like `said` and are not homophones, nearest first, commoner before rarer."""
    words, distances = list(lexicon), _distances(list(lexicon.values()), said)
    limit = max(1.0, _NEAR * len(said))
    nearest: list[int] = np.argsort(distances, kind="stable").tolist()
    return [words[number] for number in nearest if 0 < distances[number] <= limit]


def _distances(sounds: Sequence[tuple[str, ...]], target: tuple[str, ...]) -> NDArray[np.float64]:
    """Edit distance in phonemes of each to `target`; a vowel for another vowel is half a change.

    Wagner and Fischer, "The String-to-String Correction Problem" (1974), for all at once.
    """
    phonemes = sorted({phoneme for said in sounds for phoneme in said})
    codes = {phoneme: code for code, phoneme in enumerate(phonemes)}
    changes = np.array([[_change(one, other) for one in phonemes] for other in target])
    lengths = np.array([len(said) for said in sounds], dtype=np.int64)
    spelt = np.zeros((lengths.max(initial=0), len(sounds)), dtype=np.int64)
    for number, said in enumerate(sounds):
        spelt[: len(said), number] = [codes[phoneme] for phoneme in said]
    now = np.repeat(np.arange(len(spelt) + 1.0)[:, None], len(sounds), axis=1)
    for change in changes:
        before, now = now, now + 1
        for at, phoneme in enumerate(spelt, 1):
            dropped = np.minimum(before[at], now[at - 1]) + 1
            now[at] = np.minimum(before[at - 1] + change[phoneme], dropped)
    distances: NDArray[np.float64] = now[lengths, np.arange(len(sounds))]
    return distances


def _change(one: str, other: str) -> float:
    if one == other:
        return 0.0
    return 0.5 if one[0] in _VOWELS and other[0] in _VOWELS else 1.0
