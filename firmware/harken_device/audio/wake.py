"""Decides from the wake model's probabilities whether its word was said.

One probability every stride says little; the mean over a short window is compared with the
model's cutoff, as its publisher measured it (microWakeWord, Kevin Ahrendt, 2024).
"""

import gc
import json
import os
from errno import ENOENT

from micropython import const

from harken_device.core import Model

_REFRACTORY_ROWS = const(100)  # a second in which the same utterance cannot fire again
_LARGEST_WINDOW = const(64)


class WakeWord:
    """One wake word.

    Args:
        wake: the engine with the word's model.
        name: what is said, for people.
        cutoff: mean probability over which it was said, 0..1.
        window: how many probabilities the mean is of.

    Raises:
        ValueError: the cutoff or window is out of range.
    """

    def __init__(self, wake: Model, name: str, cutoff: float, window: int) -> None:
        if not 0.0 < cutoff <= 1.0 or not 1 <= window <= _LARGEST_WINDOW:
            raise ValueError("wake word %s: cutoff %r, window %r" % (name, cutoff, window))
        self.name = name
        self._wake = wake
        self._stride = wake.stride()
        self._limit = int(cutoff * 255 * window)
        self._recent = bytearray(window)
        self._at = 0
        self._sum = 0
        self._rows_deaf = _REFRACTORY_ROWS

    def step(self, row: bytearray) -> bool:
        """Take 40 features, 10 ms; True where the word has just been said. Allocates nothing."""
        probability = self._wake.step(row)
        if probability < 0:
            return False
        recent = self._recent
        at = self._at
        self._sum += probability - recent[at]
        recent[at] = probability
        self._at = at + 1 if at + 1 < len(recent) else 0
        if self._rows_deaf > 0:
            self._rows_deaf -= self._stride
            return False
        if self._sum <= self._limit:
            return False
        self._forget()
        return True

    def reset(self) -> None:
        """Forget everything heard."""
        self._wake.reset()
        self._forget()

    def _forget(self) -> None:
        recent = self._recent
        for i in range(len(recent)):
            recent[i] = 0
        self._sum = 0
        self._rows_deaf = _REFRACTORY_ROWS


def load(name: str, folders: "tuple[str, ...]" = ("/rom/models", "models")) -> WakeWord:
    """The wake word whose model and manifest are `NAME.hkm` and `NAME.json`.

    A model in ROM stays where it is; one in flash is read into the heap.

    Args:
        name: the files' name.
        folders: looked through in turn.

    Raises:
        OSError: a file is missing.
        ValueError: the manifest or the model is not usable.
    """
    base = _find(name, folders)
    with open(base + ".json") as file:
        manifest = json.load(file)
    try:
        micro = manifest["micro"]
        said = str(manifest["wake_word"])
        cutoff = float(micro["probability_cutoff"])
        window = int(micro["sliding_window_size"])
    except (KeyError, TypeError):
        raise ValueError("the manifest of wake word " + name + " is incomplete")
    return WakeWord(Model(_whole(base + ".hkm")), said, cutoff, window)


def _find(name: str, folders: "tuple[str, ...]") -> str:
    for folder in folders:
        base = folder + "/" + name
        try:
            os.stat(base + ".hkm")
        except OSError:
            continue
        return base
    raise OSError(ENOENT)


def _whole(path: str) -> "bytearray | memoryview":
    with open(path, "rb") as file:
        try:
            return memoryview(file)  # files in ROM are buffers
        except TypeError:
            pass
        # In one piece of exactly its size: reading on and on would tear the heap to pieces.
        size = os.stat(path)[6]
        gc.collect()
        content = bytearray(size)
        if file.readinto(content) != size:
            raise ValueError(path + " is cut off")
        return content
