"""What is said in the demo, and what must come of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from harken_hil.speech import PiperVoice, load_wav
from harken_models import store
from harken_models.pack import pack

if TYPE_CHECKING:
    from pathlib import Path

    from harken_hil.speech import Clip

__all__ = [
    "LOUD_VOLUME",
    "QUESTION",
    "VOLUME",
    "WAKE_WORDS",
    "Interrupt",
    "Script",
    "Wanted",
    "wake_model",
    "write_script",
]

Interrupt = Literal["call", "voice", "none"]
"""How the answer is interrupted: as the device was called, by speaking over it, or not at all."""

WAKE_WORDS = {
    "okay_nabu": "Okay Nabu.",
    "hey_jarvis": "Hey Jarvis.",
    "hey_mycroft": "Hey Mycroft.",
    "alexa": "Alexa.",
}
"""Wake model -> how its word is said."""

# Chosen by trying: the small model of the embedded agent knows these, and talks long enough about
# them to be interrupted; about the second for many sentences.
QUESTION = "Tell me about the capital of France."
_EXPECTED = "Paris"
_LONG_QUESTION = "Why is the sky blue?"
_LONG_EXPECTED = "light"
VOLUME = 70
"""At which the device begins, before it is told to be louder."""
LOUD_VOLUME = 90
"""At which a loud one begins, before it is told to be quieter."""

_LOUDER = "Turn the volume up."
_QUIETER = "Turn the volume down."


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user of the demo asked for.

    Attributes:
        wav: a recording of the question.
        say: the question in words; the demo's own where both are None.
        listen: how the device is called: by its wake word or by its button.
        wake: the wake model.
        interrupt: how a second turn interrupts the answer.
        loud: whether the device is loud from the beginning.
    """

    wav: Path | None = None
    say: str | None = None
    listen: Literal["wake", "button"] = "wake"
    wake: str = "okay_nabu"
    interrupt: Interrupt = "call"
    loud: bool = False


@dataclass(frozen=True, slots=True)
class Script:
    """Clips and expectations.

    Attributes:
        listen: how the device is called.
        wake: the wake model.
        word: the wake word; None where the button is pressed instead.
        question: the first turn.
        expected: a word that the answer must have; empty where anything is an answer.
        command: the second turn, which interrupts the first; None where there is none.
        interrupt: how it does.
        volume: of the device at the beginning, 0..100.
        long: whether the answer is long enough to be heard for a while before the command.
    """

    listen: Literal["wake", "button"]
    wake: str
    word: Clip | None
    question: Clip
    expected: str
    command: Clip | None
    interrupt: Interrupt = "call"
    volume: int = VOLUME
    long: bool = False

    @property
    def louder(self) -> bool:
        """Whether the command is to be louder; else it is to be quieter."""
        return self.volume < LOUD_VOLUME


def write_script(wanted: Wanted) -> Script:
    """Have everything said that the demo needs.

    Raises:
        AudioError: the recording or the words cannot be used.
        ModelMissingError: the voice is not in the model store.
    """
    # A wrong file is told before the voice is even looked for.
    recorded = load_wav(wanted.wav) if wanted.wav is not None else None
    long = wanted.interrupt == "voice" or wanted.loud
    own, expected = (_LONG_QUESTION, _LONG_EXPECTED) if long else (QUESTION, _EXPECTED)
    said = wanted.say if wanted.say is not None else own
    command = _QUIETER if wanted.loud else _LOUDER
    texts = {
        "word": WAKE_WORDS[wanted.wake] if wanted.listen == "wake" else "",
        "question": "" if recorded is not None else said,
        "command": command if wanted.interrupt != "none" else "",
    }
    wishes = {part: text for part, text in texts.items() if text or part == "question"}
    if recorded is not None:
        del wishes["question"]
    clips: dict[str, Clip] = {}
    if wishes:
        voice = PiperVoice(store.weights("piper-joe"))
        clips = dict(zip(wishes, voice.say(*wishes.values()), strict=True))
    default = wanted.wav is None and wanted.say is None
    return Script(
        listen=wanted.listen,
        wake=wanted.wake,
        word=clips.get("word"),
        question=recorded if recorded is not None else clips["question"],
        expected=expected if default else "",
        command=clips.get("command"),
        interrupt=wanted.interrupt,
        volume=LOUD_VOLUME if wanted.loud else VOLUME,
        long=long,
    )


def wake_model(name: str, folder: Path) -> Path:
    """A wake model of the store, packed for the device.

    Args:
        name: of `WAKE_WORDS`.
        folder: gets `NAME.hkm` and `NAME.json`.

    Returns:
        The packed model.

    Raises:
        ModelMissingError: it is not in the model store.
    """
    stored = store.locate(name.replace("_", "-"))
    packed = folder / f"{name}.hkm"
    packed.write_bytes(pack((stored / f"{name}.tflite").read_bytes()))
    packed.with_suffix(".json").write_bytes((stored / f"{name}.json").read_bytes())
    return packed
