"""What the voices say: the phrase, what sounds like it, and other sentences."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harken_models.train.phrase import common_words
from harken_models.train.speaking import Utterance, spoken
from harken_models.train.surroundings import PARTS
from harken_models.train.voices import NATURAL, Voice, part_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harken_models.train.progress import Report
    from harken_models.train.speaking import Samples
    from harken_models.train.voices import Part
    from harken_models.train.wake_recipe import Recipe

__all__ = ["Clips", "Spoken", "read_clips", "write_clips"]

_FORMS = ("{}", "{}", "{}.", "{}!", "{}?")
_KEPT_FOR_TEST = 4
"""One in so many of the phrases that sound alike is never trained on."""


@dataclass(frozen=True)
class Spoken:
    """One clip: who said what, and the samples, int16 [n] at 16 kHz."""

    voice: Voice
    text: str
    samples: Samples


@dataclass(frozen=True)
class Clips:
    """What the voices of a part said."""

    phrase: list[Spoken]
    confusable: list[Spoken]
    sentences: list[Spoken]


def write_clips(
    folder: Path, recipe: Recipe, voices: Sequence[Voice], confusables: Sequence[str],
    report: Report,
) -> None:  # fmt: skip
    """Let all voices speak, and write one `.npz` for each part into `folder`."""
    plans = [
        (part, kind, utterance)
        for part in PARTS
        for kind, utterances in _plan(recipe, part, voices, confusables).items()
        for utterance in utterances
    ]
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        said = spoken([utterance for _, _, utterance in plans], Path(scratch), report)
    for part in PARTS:
        mine = [
            (kind, utterance, samples)
            for (where, kind, utterance), samples in zip(plans, said, strict=True)
            if where == part and samples.size
        ]
        index = [
            [kind, each.voice.engine, each.voice.name, each.voice.talker, each.text]
            for kind, each, _ in mine
        ]
        np.savez(
            folder / f"{part}.npz",
            samples=np.concatenate([samples for _, _, samples in mine] or [np.zeros(1, np.int16)]),
            ends=np.cumsum([samples.size for _, _, samples in mine]),
            index=np.frombuffer(json.dumps(index).encode(), np.uint8),
        )


def read_clips(folder: Path, part: Part) -> Clips:
    """What `write_clips` wrote of a part."""
    with np.load(folder / f"{part}.npz") as arrays:
        samples, ends = arrays["samples"], arrays["ends"].tolist()
        index: list[list[str]] = json.loads(arrays["index"].tobytes())
    found: dict[str, list[Spoken]] = {"phrase": [], "confusable": [], "sentences": []}
    for start, end, (kind, engine, name, talker, text) in zip(
        [0, *ends], ends, index, strict=False
    ):
        found[kind].append(Spoken(Voice(engine, name, talker), text, samples[start:end]))
    return Clips(**found)


def _plan(
    recipe: Recipe, part: Part, voices: Sequence[Voice], confusables: Sequence[str]
) -> dict[str, list[Utterance]]:
    rng = np.random.default_rng([recipe.seed, 11, PARTS.index(part)])
    mine = [voice for voice in voices if part_of(voice) == part]
    natural = [voice for voice in mine if voice.engine in NATURAL]
    formant = [voice for voice in mine if voice.engine not in NATURAL]
    if not mine:  # few engines: what is left out of training is another rendition, not a voice
        natural = [voice for voice in voices if voice.engine in NATURAL]
        formant = [voice for voice in voices if voice.engine not in NATURAL]
    share = 1 if part == "train" else 2
    times = [(voice, recipe.natural // share) for voice in natural]
    times += [(voice, max(1, recipe.formant // share)) for voice in formant]
    said = [_varied(voice, recipe.phrase, rng) for voice, count in times for _ in range(count)]
    return {
        "phrase": said,
        "confusable": _alike(recipe, part, natural, formant, confusables, rng),
        "sentences": _sentences(recipe, part, natural or formant, formant, rng),
    }


def _varied(voice: Voice, text: str, rng: np.random.Generator) -> Utterance:
    form = _FORMS[int(rng.integers(len(_FORMS)))]
    speed, pitch = float(rng.uniform(0.8, 1.25)), float(rng.uniform(0.86, 1.18))
    return Utterance(voice, form.format(text), round(speed, 2), round(pitch, 2))


def _alike(
    recipe: Recipe,
    part: Part,
    natural: Sequence[Voice],
    formant: Sequence[Voice],
    confusables: Sequence[str],
    rng: np.random.Generator,
) -> list[Utterance]:
    words = set(recipe.phrase.split())
    said: list[Utterance] = []
    for number, text in enumerate(confusables):
        partial = set(text.split()) <= words
        if part != "test" and not partial and number % _KEPT_FOR_TEST == 0:
            continue
        times = 4 if partial and part == "train" else 1
        for group, count in ((natural, 4 * times), (formant, 2 * times)):
            for _ in range(count if group else 0):
                voice = group[int(rng.integers(len(group)))]
                said.append(_varied(voice, text, rng))
    return said


def _sentences(
    recipe: Recipe,
    part: Part,
    natural: Sequence[Voice],
    formant: Sequence[Voice],
    rng: np.random.Generator,
) -> list[Utterance]:
    """Common words in any order; in training, now and then with a word of the phrase among them.

    What cut-off and tests are judged by is what people say anyway: without these words.
    """
    vocabulary = common_words()
    own = recipe.phrase.split() if len(recipe.phrase.split()) > 1 else []
    if part != "train":
        vocabulary, own = [word for word in vocabulary if word not in own], []
    count = recipe.sentences if part == "train" else recipe.sentences // 4
    said: list[Utterance] = []
    for number in range(count):
        count_of_words = int(rng.integers(3, 8))
        words = [vocabulary[int(rng.integers(len(vocabulary)))] for _ in range(count_of_words)]
        if own and rng.random() < 0.25:
            words.insert(int(rng.integers(len(words) + 1)), own[int(rng.integers(len(own)))])
        group = formant if formant and number % 4 == 0 else natural
        voice = group[int(rng.integers(len(group)))]
        said.append(_varied(voice, " ".join(words), rng))
    return [each for each in said if recipe.phrase not in each.text]
