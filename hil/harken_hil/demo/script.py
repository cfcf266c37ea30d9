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

__all__ = ["QUESTION", "VOLUME", "WAKE_WORDS", "Script", "Wanted", "wake_model", "write_script"]

WAKE_WORDS = {
    "okay_nabu": "Okay Nabu.",
    "hey_jarvis": "Hey Jarvis.",
    "hey_mycroft": "Hey Mycroft.",
    "alexa": "Alexa.",
}
"""Wake model -> how its word is said."""

# Chosen by trying: the small model of the embedded agent knows this one, and talks long enough
# about it to be interrupted.
QUESTION = "Tell me about the capital of France."
_EXPECTED = "Paris"
VOLUME = 70
"""At which the device begins, before it is told to be louder."""

_COMMAND = "Turn the volume up."


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user of the demo asked for.

    Attributes:
        wav: a recording of the question.
        say: the question in words; the demo's own where both are None.
        listen: how the device is called: by its wake word or by its button.
        wake: the wake model.
        interrupt: whether a second turn interrupts the answer.
    """

    wav: Path | None = None
    say: str | None = None
    listen: Literal["wake", "button"] = "wake"
    wake: str = "okay_nabu"
    interrupt: bool = True


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
    """

    listen: Literal["wake", "button"]
    wake: str
    word: Clip | None
    question: Clip
    expected: str
    command: Clip | None


def write_script(wanted: Wanted) -> Script:
    """Have everything said that the demo needs.

    Raises:
        AudioError: the recording or the words cannot be used.
        ModelMissingError: the voice is not in the model store.
    """
    # A wrong file is told before the voice is even looked for.
    recorded = load_wav(wanted.wav) if wanted.wav is not None else None
    said = wanted.say if wanted.say is not None else QUESTION
    texts = {
        "word": WAKE_WORDS[wanted.wake] if wanted.listen == "wake" else "",
        "question": "" if recorded is not None else said,
        "command": _COMMAND if wanted.interrupt else "",
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
        expected=_EXPECTED if default else "",
        command=clips.get("command"),
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
