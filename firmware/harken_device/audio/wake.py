"""Decides from a wake model's probabilities whether its word was said, and not by the loudspeaker.

One probability every stride says little; the mean over a short window is compared with the
model's cutoff, as its publisher measured it (microWakeWord, Kevin Ahrendt, 2024).

While something plays, the features of the loudspeaker's own signal are kept for a while. A word
that seems to have been said is looked for in them, by the same model, before it is acted on: the
canceller takes most of the loudspeaker away, but features that are normalised in each channel make
a word of what is left. That takes `_ROWS / _ROWS_A_BLOCK` blocks, and no second model.

What is forgotten when:

    any word was said     every word starts anew and is deaf for `_REFRACTORY_ROWS`: the same sound
                          is still in the models, and one utterance is one word
    playing begins        the loudspeaker's features, and the stop word starts anew: it has heard
                          nothing since something last played, and is deaf for `_WARM_UP_ROWS`
    playing ends          nothing: the loudspeaker's features are kept on for `Words.TAIL_ROWS`,
                          because a word at the very end is recognised after it
    link up or down, listening, barge-in, long silence
                          nothing. A model keeps only the last one or two seconds of features, in
                          rings, so that silence makes it new by itself
"""

from micropython import const

from harken_device.audio.samples import copy_words
from harken_device.errors import ModelError

TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from harken_device.audio.models import Weights
    from harken_device.core import Model

# Models remember about a second: so long the word that was recognised can be recognised again.
_REFRACTORY_ROWS = const(100)
# A model that starts has its whole window to fill before what it says means anything.
_WARM_UP_ROWS = const(25)
# Of the loudspeaker: a long word, and the delay of its echo.
_ROWS = const(130)
_ROWS_A_BLOCK = const(13)  # half a million instructions, beside everything else
# The loudspeaker's own signal has no noise in it: what is half certain there was said there.
_VETO_DIVISOR = const(2)
_LARGEST_WINDOW = const(64)
_STEP_MS = const(10)  # of the speech features
_FEATURES = const(40)
_ROW_WORDS = const(10)
_LONGEST_NAME = const(64)


class WakeWord:
    """One wake word.

    Args:
        model: the engine with the word's model.
        name: what is said, for people.
        cutoff: mean probability over which it was said, 0..1.
        window: how many probabilities the mean is of.

    Raises:
        ModelError: the cutoff or window is out of range.
    """

    def __init__(self, model: "Model", name: str, cutoff: float, window: int) -> None:
        if not 0.0 < cutoff <= 1.0 or not 1 <= window <= _LARGEST_WINDOW:
            raise ModelError("wake word %s: cutoff %r, window %r" % (name, cutoff, window))
        self.name = name
        self._model = model
        self._recent = bytearray(window)
        self._at = 0
        self._sum = 0
        self._limit = int(cutoff * 255 * window)
        self._deaf = _REFRACTORY_ROWS

    def step(self, row: bytearray) -> bool:
        """Take 40 features, 10 ms; True where the word has just been said. Allocates nothing."""
        said = self._over(row, self._limit)
        if self._deaf > 0:
            self._deaf -= 1
            return False
        return said

    def certain(self, row: bytearray) -> bool:
        """Take 40 features of what the loudspeaker played; True where it said the word."""
        return self._over(row, self._limit // _VETO_DIVISOR)

    def _over(self, row: bytearray, limit: int) -> bool:
        probability = self._model.step(row)
        if probability < 0:
            return False
        recent = self._recent
        at = self._at
        self._sum += probability - recent[at]
        recent[at] = probability
        self._at = at + 1 if at + 1 < len(recent) else 0
        return self._sum > limit

    def settle(self, deaf_rows: int) -> None:
        """Forget what was heard, and hear nothing for so long."""
        self._model.reset()
        recent = self._recent
        for i in range(len(recent)):
            recent[i] = 0
        self._sum = 0
        self._deaf = deaf_rows


class Words:
    """Everything that is listened for, each 10 ms.

    Args:
        words: wake words.
        stop: is listened for only while something plays; None where there is none.
        vetoes: what the loudspeaker plays is known, and its words are not acted on.

    Attributes:
        name: the word that was said last.
        vetoed: words since boot that were not acted on, because the loudspeaker had said them.
    """

    TAIL_ROWS = 50

    def __init__(
        self, words: "tuple[WakeWord, ...]", stop: "WakeWord | None", vetoes: bool
    ) -> None:
        self._words = words
        self._stop = stop
        self._playing = False
        self._tail = 0
        self._own = bytearray(_ROWS * _FEATURES if vetoes and (words or stop) else 0)
        self._own_at = 0  # word at which the next row goes
        self._own_rows = 0
        self._row = bytearray(_FEATURES)
        self._doubtful: WakeWord | None = None  # said by somebody, or by the loudspeaker?
        self._looked = 0  # rows of the loudspeaker in which it was looked for
        self.name = ""
        self.vetoed = 0

    def play(self, playing: bool) -> bool:
        """Say for each block whether something plays; whether it does, or did until just now."""
        if playing:
            if self._tail == 0:
                self._own_rows = 0
            if not self._playing and self._stop is not None:
                self._stop.settle(_WARM_UP_ROWS)
            self._tail = self.TAIL_ROWS
        elif self._tail > 0:
            self._tail -= 1
        self._playing = playing
        return self._tail > 0

    def step_own(self, row: bytearray) -> None:
        """Take the loudspeaker's features of this block, before `step`."""
        if self._doubtful is not None or not self._own:
            return  # what is being looked through stays as it is
        copy_words(self._own, self._own_at, row, 0, _ROW_WORDS)
        at = self._own_at + _ROW_WORDS
        self._own_at = at if at < _ROWS * _ROW_WORDS else 0
        if self._own_rows < _ROWS:
            self._own_rows += 1

    def step(self, row: bytearray) -> "WakeWord | None":
        """Take the microphone's features; the word that has just been said. Allocates nothing."""
        doubtful = self._doubtful
        said = None
        for word in self._words:
            if word is not doubtful and word.step(row) and said is None:
                said = word
        stop = self._stop
        if stop is not None and self._playing and stop is not doubtful and stop.step(row):
            said = said or stop
        if doubtful is not None:
            return self._look(doubtful)
        if said is None:
            return None
        if self._tail == 0 or not self._own_rows:
            return self._accept(said)
        self._settle()
        self._doubtful = said
        self._looked = 0
        return None

    def _look(self, word: WakeWord) -> "WakeWord | None":
        """Look for a word in what the loudspeaker played, a little further."""
        for _ in range(_ROWS_A_BLOCK):
            if self._looked == self._own_rows:
                return self._accept(word)
            at = self._own_at - (self._own_rows - self._looked) * _ROW_WORDS
            at = at if at >= 0 else at + _ROWS * _ROW_WORDS
            copy_words(self._row, 0, self._own, at, _ROW_WORDS)
            self._looked += 1
            if word.certain(self._row):
                self.vetoed += 1
                self._doubtful = None
                self._settle()
                return None
        return None

    def _accept(self, word: WakeWord) -> WakeWord:
        self._doubtful = None
        self._settle()
        self.name = word.name
        return word

    def _settle(self) -> None:
        for word in self._words:
            word.settle(_REFRACTORY_ROWS)
        if self._stop is not None:
            self._stop.settle(_REFRACTORY_ROWS)

    def stops(self, word: WakeWord) -> bool:
        """Whether this is the stop word."""
        return word is self._stop


def wake_word(weights: "Weights") -> WakeWord:
    """The wake word of a model with microWakeWord's manifest.

    Args:
        weights: the model.

    Raises:
        ModelError: the manifest or the model is not usable.
    """
    name = weights.name
    try:
        micro = weights.manifest["micro"]
        said = str(weights.manifest["wake_word"])[:_LONGEST_NAME]
        cutoff = float(micro["probability_cutoff"])
        window = int(micro["sliding_window_size"])
        step_ms = float(micro["feature_step_size"])
    except (KeyError, TypeError, ValueError, OverflowError):
        raise ModelError("the manifest of wake word %s is incomplete" % name)
    if step_ms != _STEP_MS:
        raise ModelError(
            "wake word %s wants features every %s ms, not every %d" % (name, step_ms, _STEP_MS)
        )
    return WakeWord(weights.instance(), said, cutoff, window)
