"""What a trained wake word is judged by: everything its card says in numbers."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from harken_models.core import Features, Model
from harken_models.scenes import corpora
from harken_models.train.surroundings import as_wake_words_hear
from harken_models.train.voices import NATURAL
from harken_models.train.wake_clips import read_clips
from harken_models.train.wake_measure import (
    CUTOFFS,
    accepts_at,
    chosen_cutoff,
    false_accepts,
    heard_at,
    stream_means,
)
from harken_models.train.wake_recipe import shape_of
from harken_models.train.wake_scenes import BLOCK_ROWS, kind_of_block

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from harken_models.train.progress import Report
    from harken_models.train.streaming import Rows
    from harken_models.train.wake import Trained
    from harken_models.train.wake_measure import Means, Stream
    from harken_models.train.wake_recipe import Recipe

__all__ = ["Accepts", "Alike", "Results", "VoiceRecall", "measure"]

_PIECE_S = 60
_KINDS = {
    "speech": "people, in rooms and noise",
    "sentences": "voices saying other things, in rooms and noise",
    "music": "music, in rooms and noise",
    "quiet": "noise and near silence",
}


class VoiceRecall(msgspec.Struct, frozen=True):
    """How often the phrase was heard from one held-out voice."""

    engine: str
    voice: str
    scenes: int
    heard: int


class Accepts(msgspec.Struct, frozen=True):
    """How often it woke where the phrase was not said."""

    what: str
    hours: float
    count: int


class Alike(msgspec.Struct, frozen=True):
    """How often something that sounds like the phrase was taken for it."""

    text: str
    scenes: int
    taken: int
    trained: bool


class Results(msgspec.Struct, frozen=True):
    """Everything measured; what it was measured on is never trained on.

    Attributes:
        cutoff: the mean probability from which the phrase counts as said.
        validation: what the cut-off was chosen by.
        accepts: by kind of sound, at the cut-off.
        voices: recall by voice, at the cut-off.
        alike: by phrase, most often taken first.
        cutoffs: for the curves below.
        recall_natural: by cut-off, of voices made from a person's recordings.
        recall_formant: the same of espeak-ng's.
        accepts_an_hour: by cut-off, over everything in `accepts`.
        macs: multiply-accumulates a step of 30 ms.
        model_bytes, packed_bytes, state_bytes: sizes.
        checked_steps: compared with TensorFlow Lite Micro, none differing.
        seconds: that each stage of the training took, on so many `cores`.
    """

    cutoff: float
    validation: Accepts
    accepts: list[Accepts]
    voices: list[VoiceRecall]
    alike: list[Alike]
    cutoffs: list[float]
    recall_natural: list[float]
    recall_formant: list[float]
    accepts_an_hour: list[float]
    macs: int
    model_bytes: int
    packed_bytes: int
    state_bytes: int
    checked_steps: int
    seconds: dict[str, float]
    cores: int

    def recall(self, *engines: str) -> float:
        """Of some engines' voices, or of all; 0 where none was tested."""
        mine = [voice for voice in self.voices if not engines or voice.engine in engines]
        scenes = sum(voice.scenes for voice in mine)
        return sum(voice.heard for voice in mine) / scenes if scenes else 0.0

    @property
    def hours(self) -> float:
        """Of everything in which the phrase was not said."""
        return sum(each.hours for each in self.accepts)

    @property
    def count(self) -> int:
        """False accepts in these hours."""
        return sum(each.count for each in self.accepts)


def measure(recipe: Recipe, trained: Trained, report: Report) -> Results:
    """Choose the cut-off on the validation part, then judge the model on the test part."""
    packed = trained.packed
    report(0, 5, "choosing the cut-off")
    validation = stream_means(packed, _saved(trained.scenes, "validation", "blocks"))
    cutoff = chosen_cutoff(validation, recipe.accepts_a_day)
    report(1, 5, "the phrase, in test voices")
    said = read_clips(trained.clips, "test")
    heard = heard_at(packed, _saved(trained.scenes, "test", "phrase"))
    report(2, 5, "what sounds alike")
    alike = heard_at(packed, _saved(trained.scenes, "test", "confusable"))
    report(3, 5, "hours without the phrase")
    scenes = stream_means(packed, _saved(trained.scenes, "test", "blocks"))
    report(4, 5, "recordings as they are")
    recorded = stream_means(packed, _recordings(recipe.recorded_hours))
    natural = np.resize([each.voice.engine in NATURAL for each in said.phrase], len(heard))
    trained_on = {each.text.strip(".!?") for each in read_clips(trained.clips, "train").confusable}
    per_hour = np.add(false_accepts(scenes, CUTOFFS), false_accepts(recorded, CUTOFFS))
    report(5, 5, "")
    return Results(
        cutoff=cutoff,
        validation=Accepts(
            "all kinds", validation.hours, len(accepts_at(validation.means, cutoff))
        ),
        accepts=[
            *_by_kind(scenes, cutoff),
            Accepts(
                "people, as recorded", recorded.hours, len(accepts_at(recorded.means, cutoff))
            ),
        ],
        voices=_by_voice([each.voice.engine for each in said.phrase],
                         [each.voice.name for each in said.phrase], heard, cutoff),
        alike=_by_text([each.text.strip(".!?") for each in said.confusable], alike, cutoff,
                       trained_on),
        cutoffs=CUTOFFS.tolist(),
        recall_natural=_curve(heard[natural]),
        recall_formant=_curve(heard[~natural]),
        accepts_an_hour=(per_hour / (scenes.hours + recorded.hours)).tolist(),
        macs=shape_of(recipe).macs,
        model_bytes=len(trained.model),
        packed_bytes=len(packed),
        state_bytes=Model(packed).state_size,
        checked_steps=trained.checked_steps,
        seconds=trained.seconds,
        cores=os.cpu_count() or 1,
    )  # fmt: skip


def _saved(folder: Path, part: str, kind: str) -> NDArray[np.int8]:
    found: NDArray[np.int8] = np.load(folder / f"scenes-{part}" / f"{kind}.npy", mmap_mode="r")
    return found


def _recordings(hours: float) -> Iterator[Rows]:
    """The test split's speech as it was recorded, minute by minute, for so many hours at most."""
    left = round(hours * 60)
    features, waiting = Features(), [np.zeros(0, np.int16)]
    for clip in corpora.speech("test"):
        waiting.append(np.asarray(clip.samples, np.int16))
        joined = np.concatenate(waiting)
        whole = len(joined) // (16_000 * _PIECE_S) * 16_000 * _PIECE_S
        if whole:
            yield features.run(as_wake_words_hear(joined[:whole]))
            left -= whole // (16_000 * _PIECE_S)
        if left <= 0:
            return
        waiting = [joined[whole:]]
    yield features.run(as_wake_words_hear(waiting[0]))


def _by_kind(stream: Stream, cutoff: float) -> list[Accepts]:
    steps = BLOCK_ROWS // 3
    blocks = max(1, round(len(stream.means) / (BLOCK_ROWS / 3)))
    woke = Counter(
        kind_of_block(min(step // steps, blocks - 1)) for step in accepts_at(stream.means, cutoff)
    )
    count = Counter(kind_of_block(number) for number in range(blocks))
    return [
        Accepts(what, stream.hours * count[kind] / blocks, woke[kind])
        for kind, what in _KINDS.items()
    ]


def _by_voice(
    engines: list[str], names: list[str], heard: Means, cutoff: float
) -> list[VoiceRecall]:
    found: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for number, at in enumerate(heard.tolist()):
        key = (engines[number % len(engines)], names[number % len(names)])
        found[key].append(at > cutoff)
    return [VoiceRecall(*key, len(each), sum(each)) for key, each in sorted(found.items())]


def _by_text(texts: list[str], heard: Means, cutoff: float, trained_on: set[str]) -> list[Alike]:
    found: dict[str, list[bool]] = defaultdict(list)
    for number, at in enumerate(heard.tolist()):
        found[texts[number % len(texts)]].append(at > cutoff)
    rows = [Alike(text, len(each), sum(each), text in trained_on) for text, each in found.items()]
    return sorted(rows, key=lambda row: (-row.taken / row.scenes, row.text))


def _curve(heard: Means) -> list[float]:
    scenes = max(1, heard.size)
    return [int(np.count_nonzero(heard > at)) / scenes for at in CUTOFFS.tolist()]
