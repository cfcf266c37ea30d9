"""Decides from a wake model's probabilities whether its word was said, and not by the loudspeaker.

One probability every stride says little; the mean over a short window is compared with the
model's cutoff, as its publisher measured it (microWakeWord, Kevin Ahrendt, 2024).

While something plays, a second instance of the model hears the loudspeaker's own signal. A word
that it has heard too is not acted on: the canceller takes most of the loudspeaker away, but
features that are normalised in each channel make a word of what is left.

What is forgotten when:

    any word was said     every word starts anew and is deaf for `_REFRACTORY_ROWS`: the same sound
                          is still in the models, and one utterance is one word
    playing begins        the stop word and the loudspeaker's instances start anew: they have
                          heard nothing since something last played. A new stop word is deaf for
                          `_WARM_UP_ROWS`
    playing ends          nothing: the loudspeaker's instances go on for `Words.TAIL_ROWS`, because
                          a word at the very end is recognised after it
    link up or down, listening, barge-in, long silence
                          nothing. A model keeps only the last one or two seconds of features, in
                          rings, so that silence makes it new by itself
"""

from micropython import const

from harken_device.errors import ModelError

TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from harken_device.audio.models import Weights
    from harken_device.core import Model

# Models remember about a second: so long the word that was recognised can be recognised again.
_REFRACTORY_ROWS = const(100)
# A model that starts has its whole window to fill before what it says means anything.
_WARM_UP_ROWS = const(25)
# The microphone's word may be recognised later than the loudspeaker's own by the delay of the
# echo and by what noise and room do to the mean.
_VETO_ROWS = const(150)
# The loudspeaker's own signal has no noise in it: what is half certain there was said there.
_VETO_DIVISOR = const(2)
_LARGEST_WINDOW = const(64)
_STEP_MS = const(10)  # of the speech features
_LONGEST_NAME = const(64)


class _Mean:
    """One instance of a model, and the sum of its last probabilities."""

    def __init__(self, model: "Model", window: int) -> None:
        self._model = model
        self._recent = bytearray(window)
        self._at = 0
        self.sum = 0

    def step(self, row: bytearray) -> bool:
        """Take 40 features; True where there is a new probability. Allocates nothing."""
        probability = self._model.step(row)
        if probability < 0:
            return False
        recent = self._recent
        at = self._at
        self.sum += probability - recent[at]
        recent[at] = probability
        self._at = at + 1 if at + 1 < len(recent) else 0
        return True

    def reset(self) -> None:
        """As at the beginning of a stream."""
        self._model.reset()
        recent = self._recent
        for i in range(len(recent)):
            recent[i] = 0
        self.sum = 0


class WakeWord:
    """One wake word.

    Args:
        model: the engine with the word's model.
        own: a second one, for what the loudspeaker plays; None: whoever says it is meant.
        name: what is said, for people.
        cutoff: mean probability over which it was said, 0..1.
        window: how many probabilities the mean is of.

    Raises:
        ModelError: the cutoff or window is out of range.

    Attributes:
        vetoed: how often the word was not acted on, because the loudspeaker had said it.
    """

    def __init__(
        self, model: "Model", own: "Model | None", name: str, cutoff: float, window: int
    ) -> None:
        if not 0.0 < cutoff <= 1.0 or not 1 <= window <= _LARGEST_WINDOW:
            raise ModelError("wake word %s: cutoff %r, window %r" % (name, cutoff, window))
        self.name = name
        self.vetoed = 0
        self._heard = _Mean(model, window)
        self._own = _Mean(own, window) if own is not None else None
        self._limit = int(cutoff * 255 * window)
        self._deaf = _REFRACTORY_ROWS
        self._veto = 0

    def step(self, row: bytearray) -> bool:
        """Take 40 features, 10 ms; True where the word has just been said. Allocates nothing."""
        heard = self._heard
        if self._veto > 0:
            self._veto -= 1
        if self._deaf > 0:
            self._deaf -= 1
            heard.step(row)
            return False
        if not heard.step(row) or heard.sum <= self._limit:
            return False
        if self._veto > 0:
            self.vetoed += 1
            self.settle(_REFRACTORY_ROWS)
            return False
        return True

    def step_own(self, row: bytearray) -> None:
        """Take 40 features of what the loudspeaker plays; before `step`. Allocates nothing."""
        own = self._own
        if own is not None and own.step(row) and own.sum > self._limit // _VETO_DIVISOR:
            self._veto = _VETO_ROWS

    def settle(self, deaf_rows: int) -> None:
        """Forget what was heard, and hear nothing for so long."""
        self._heard.reset()
        self._deaf = deaf_rows

    def begin_own(self) -> None:
        """Something begins to play."""
        if self._own is not None:
            self._own.reset()


class Words:
    """Everything that is listened for, each 10 ms.

    Args:
        words: wake words.
        stop: is listened for only while something plays; None where there is none.

    Attributes:
        name: the word that was said last.
    """

    TAIL_ROWS = 50

    def __init__(self, words: "tuple[WakeWord, ...]", stop: "WakeWord | None") -> None:
        self._words = words
        self._stop = stop
        self._playing = False
        self._tail = 0
        self.name = ""

    def play(self, playing: bool) -> bool:
        """Say for each block whether something plays; whether the loudspeaker is to be heard."""
        if playing:
            if self._tail == 0:
                for word in self._words:
                    word.begin_own()
            if not self._playing and self._stop is not None:
                self._stop.begin_own()
                self._stop.settle(_WARM_UP_ROWS)
            self._tail = self.TAIL_ROWS
        elif self._tail > 0:
            self._tail -= 1
        self._playing = playing
        return self._tail > 0

    def step_own(self, row: bytearray) -> None:
        """Take the loudspeaker's features of this block, before `step`."""
        for word in self._words:
            word.step_own(row)
        if self._stop is not None and self._playing:
            self._stop.step_own(row)

    def step(self, row: bytearray) -> "WakeWord | None":
        """Take the microphone's features; the word that has just been said. Allocates nothing."""
        said = None
        for word in self._words:
            if word.step(row) and said is None:
                said = word
        stop = self._stop
        if stop is not None and self._playing and stop.step(row) and said is None:
            said = stop
        if said is not None:
            self.name = said.name
            for word in self._words:
                word.settle(_REFRACTORY_ROWS)
            if stop is not None:
                stop.settle(_REFRACTORY_ROWS)
        return said

    def stops(self, word: WakeWord) -> bool:
        """Whether this is the stop word."""
        return word is self._stop

    @property
    def vetoed(self) -> int:
        """Detections since boot that were not acted on."""
        count = self._stop.vetoed if self._stop is not None else 0
        for word in self._words:
            count += word.vetoed
        return count


def wake_word(weights: "Weights", own: bool) -> WakeWord:
    """The wake word of a model with microWakeWord's manifest.

    Args:
        weights: the model.
        own: what the loudspeaker plays can be known, so that its words can be told apart.

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
    model = weights.instance()
    return WakeWord(model, weights.instance() if own else None, said, cutoff, window)
