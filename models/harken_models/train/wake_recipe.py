"""What a training of a wake word consists of, in numbers."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from harken_models.train.mixednet import Block, Shape

__all__ = ["WINDOW", "Recipe", "shape_of"]

WINDOW = 5
"""Probabilities that the device takes the mean of (150 ms)."""


@dataclass(frozen=True)
class Recipe:
    """Everything that changes the model; the same recipe gives the same model on one machine.

    Attributes:
        phrase: as `checked_phrase` gives it.
        seed: of all chance.
        natural: renditions by each voice made from a person's recordings.
        formant: renditions by each of espeak-ng's voices.
        confusables: phrases that sound alike.
        sentences: other things that voices say.
        rooms: of each part.
        times: scenes of each rendition of the phrase; of what sounds alike, a third of that.
        hours: of what must not wake it, to train on, and as many to choose the cut-off by.
        test_hours: to count false accepts in, in rooms and noise.
        recorded_hours: to count them in, of recordings as they are, at most.
        accepts_a_day: false accepts that the cut-off may allow.
        first_steps: batches before what it wrongly accepts is looked for.
        second_steps: batches after that.
        batch: windows in a batch.
        filters: channels of the mixed layers.
    """

    phrase: str
    seed: int = 1
    natural: int = 48
    formant: int = 8
    confusables: int = 120
    sentences: int = 3000
    rooms: int = 60
    times: int = 10
    hours: float = 5.0
    test_hours: float = 6.0
    recorded_hours: float = 24.0
    accepts_a_day: float = 1.0
    first_steps: int = 3000
    second_steps: int = 5000
    batch: int = 128
    filters: int = 64

    def miniature(self) -> Recipe:
        """A training of seconds, to see that all of it works; its model is of no use."""
        return replace(
            self,
            natural=2, formant=1, confusables=8, sentences=12, rooms=2, times=2, hours=0.1,
            test_hours=0.05, recorded_hours=0.02,
            first_steps=30, second_steps=30, batch=32, filters=16,
        )  # fmt: skip

    def part(self, *names: str) -> dict[str, Any]:
        """Some of the settings, as JSON."""
        every = asdict(self)
        return {name: every[name] for name in names}


def shape_of(recipe: Recipe) -> Shape:
    """The network's form: it hears 1.6 s, and answers every 30 ms."""
    filters = recipe.filters
    blocks = (
        Block((5,), filters),
        Block((7, 11), filters),
        Block((9, 15), filters),
        Block((23,), filters),
    )
    return Shape(blocks, first_filters=min(32, filters), head_steps=3)
