"""What the microphone's sound goes through: cleaned, and listened to for words and voices.

    microphone ─> Cleaner ─┬─ linear ─> features ───> voice activity, who speaks over an answer
                    ^      └─ out ─┬──> features ───> wake words, stop word
                    │              └──> the packets for the gateway
    loudspeaker ────┴───────────────> features ───> the words that the loudspeaker says

Words are looked for in what the gateway gets: what is left of echo and noise in `linear`, the
canceller's output alone, hides them. But while something plays and the canceller does not know the
room, the suppressor takes whatever might be echo, and with it a word: until then words are looked
for in `linear` as well. Voices always are: it comes 10 ms sooner, and they must be found where two
speak at the same time, from which the suppressor takes most.
"""

from micropython import const

from harken_device import core
from harken_device.audio.barge_in import CANCELLING, CONVERGED, NEAR, BargeIn
from harken_device.audio.samples import copy
from harken_device.audio.wake import Words

TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from harken_device.core import Cleaner, Model

# What `step` reports; the engine's own numbers.
WAKE = const(2)
STOP = const(128)
BARGE_IN = const(256)
VOICE = const(512)

# Parts of the cleaner.
HIGHPASS = const(1)
ECHO = const(2 | 4)  # with the suppressor of what the canceller leaves
NOISE = const(8)
GAIN = const(16)

_BLOCK = const(160)
_BLOCK_BYTES = const(320)
_FEATURES = const(40)
_CLEANER_DELAY_MS = const(10)
_AT_FLOOR_DB = const(1)


class Hearing:
    """Cleans each block of the microphone and says what is in it.

    Args:
        parts: of the cleaner that are on, a sum of `HIGHPASS` .. `GAIN`; 0: no cleaner at all. A
            board without our C has no more of them than the gain.

    Attributes:
        delay_ms: by which the cleaned sound is behind the microphone.
        cancels: the loudspeaker's echo is taken away.
        words: what is listened for; may be set.
    """

    def __init__(self, parts: int) -> None:
        self._cleaner = _cleaner(parts)
        self.cancels = core.NATIVE and parts & ECHO != 0
        self.delay_ms = _CLEANER_DELAY_MS if core.NATIVE and parts else 0
        self._linear = bytearray(_BLOCK_BYTES)
        self._features = core.Features()
        self._row = bytearray(_FEATURES)
        # Without our C the cleaned sound has gain at the most, and there is no time for more.
        cleans = core.NATIVE and parts & ~HIGHPASS != 0
        self._cleaned_features = core.Features() if cleans else None
        self._cleaned_row = bytearray(_FEATURES if cleans else 0)
        self._own_features = core.Features()
        self._own_row = bytearray(_FEATURES)
        self._vad = core.Vad()
        self._vad_model: Model | None = None
        self._noise_model: Model | None = None
        self._gains = bytearray(_FEATURES)
        self._barge_in = BargeIn()
        self._playing = False
        self._told = 0
        self.words = Words((), None, False)

    def use(self, vad: "Model | None", noise: "Model | None") -> None:
        """Find speech, and suppress noise, by models instead of by energy and statistics.

        Args:
            vad: from each 40 features the probability of speech.
            noise: from each 40 features the gains of 40 bands.
        """
        self._vad_model = vad
        self._noise_model = noise if self._cleaner is not None else None

    def step(self, mic: bytearray, loudspeaker: bytearray, playing: bool, out: bytearray) -> int:
        """Take one block; allocates nothing.

        Args:
            mic: int16 [160], 16 kHz.
            loudspeaker: int16 [160], what was played meanwhile.
            playing: an answer is being played; the loudspeaker is silent otherwise.
            out: takes the cleaned block, `delay_ms` behind.

        Returns:
            WAKE or STOP, where such a word was said (`words.name`); BARGE_IN, where somebody has
            begun to speak over the answer; VOICE, where somebody speaks.
        """
        sounding = self.words.play(playing)
        if playing and not self._playing:
            self._barge_in.reset()
            self._own_features.reset()
        self._playing = playing
        linear = self._clean(mic, loudspeaker if sounding else None, out)
        if sounding and self._own_features.step(loudspeaker, self._own_row):
            self.words.step_own(self._own_row)
        events = 0
        probability = -1
        cleaned = self._cleaned_features
        if cleaned is not None:
            cleaned.step(out, self._cleaned_row)  # a row comes with each of `linear`
        if self._features.step(linear, self._row):
            events = self._words_said()
            probability = self._models()
        vad = self._vad
        # What the model remembers of a word outlasts its sound.
        if vad.step(linear, probability) & 1 and vad.level_db() - vad.floor_db() > _AT_FLOOR_DB:
            events |= VOICE
        if (
            playing
            and self.cancels
            and self._barge_in.step(self._told, events & VOICE != 0, mic, linear, loudspeaker)
        ):
            events |= BARGE_IN
        return events

    def _clean(self, mic: bytearray, loudspeaker: "bytearray | None", out: bytearray) -> bytearray:
        """Fill `out`; the block that is listened to."""
        cleaner = self._cleaner
        if cleaner is None:
            copy(out, 0, mic, 0, _BLOCK_BYTES)
            return mic
        self._told = cleaner.step(mic, loudspeaker, out, self._linear)
        return self._linear

    def _words_said(self) -> int:
        learning = self._told & (CANCELLING | CONVERGED) == CANCELLING
        heard = self._row if learning or self._cleaned_features is None else self._cleaned_row
        word = self.words.step(heard)
        if word is None:
            return 0
        return STOP if self.words.stops(word) else WAKE

    def _models(self) -> int:
        """The probability of speech, or -1; the noise model's gains go to the next block."""
        noise, cleaner = self._noise_model, self._cleaner
        if noise is not None and cleaner is not None and noise.step(self._row) >= 0:
            noise.outputs(self._gains)
            cleaner.gains(self._gains)
        vad = self._vad_model
        return vad.step(self._row) if vad is not None else -1

    @property
    def state(self) -> "dict[str, object]":
        """What the parts say of themselves: see `hearing` in docs/reference/device.md."""
        told: dict[str, object] = {"vetoed": self.words.vetoed}
        cleaner = self._cleaner
        if cleaner is not None:
            told["noise_db"] = cleaner.noise_db()
            told["gain_db"] = cleaner.gain_db()
        if cleaner is not None and self.cancels:
            told["erle_db"] = cleaner.erle_db()
            told["delay_ms"] = cleaner.delay_ms()
            told["cancelling"] = self._told & CANCELLING != 0
            told["converged"] = self._told & CONVERGED != 0
            told["near"] = self._told & NEAR != 0
        return told


def _cleaner(parts: int) -> "Cleaner | None":
    if not parts:
        return None
    cleaner = core.Cleaner()
    cleaner.switch(parts)
    return cleaner
