"""How well echo is taken out, and what it costs the near talker.

* ERLE (echo return loss enhancement): power of the echo at the microphone over the power of what is
  left while nobody else talks, in dB (ITU-T G.168). Residual echo suppression counts; that the
  room's own noise is taken away with it does not: in no 10 ms is less left than that noise.
* AECMOS: what listeners would say of the echo that is left and of what else was done to the sound,
  1 to 5 (Purin et al., "AECMOS: a speech quality assessment metric for echo impairment", 2022), its
  weights from the package `speechmos`.
* Words that a speech recogniser gets wrong of what the near talker says over the far end.
"""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from harken.errors import StartError
from harken_models import store
from harken_models.measure.echo_matrix import BOTH, CONVERGED, FAR, NEAR
from harken_models.scenes.labels import HOP

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harken_models.measure.echo_matrix import HeardScene

    Samples = np.ndarray[tuple[int], np.dtype[np.int16]]

__all__ = ["EchoScore", "erle_db", "score_echo", "word_errors"]

_RATE: Final = 16_000
# Hops in which the echo is this far below its loudest are pauses of the far end.
_PAUSE_DB: Final = 30.0


@dataclass(frozen=True, slots=True)
class EchoScore:
    """One canceller in one scene.

    Attributes:
        erle_db: while the far end talks alone, from the first second on.
        converged_db: the same from the fourth second on.
        far_echo: AECMOS of the echo left while the far end talks alone.
        both_echo: the same while both talk.
        both_other: AECMOS of everything else, while both talk.
        near_other: the same while the near talker is alone.
        words: of the near talker while both talk, where they are known; else 0.
        wrong: misheard, left out or invented, at most as many as there are words.
    """

    erle_db: float
    converged_db: float
    far_echo: float
    both_echo: float
    both_other: float
    near_other: float
    words: int = 0
    wrong: int = 0


def score_echo(scene: HeardScene, out: Samples, *, listen: bool = False) -> EchoScore:
    """Score what a canceller made of a scene.

    Args:
        scene: what it took.
        out: int16 [n], in time with the microphone.
        listen: count word errors too, where the words are known.

    Raises:
        StartError: `speechmos` is not installed.
        ModelError: the speech recogniser is not in the model store.
    """
    words = _words(scene.text) if listen else []
    # Of noise the recogniser may invent a page: no scene counts for more than it has words.
    wrong = min(len(words), word_errors(words, _words(_heard(out[BOTH])))) if words else 0
    far = _aecmos(scene, out, FAR, "st")
    both = _aecmos(scene, out, BOTH, "dt")
    near = _aecmos(scene, out, NEAR, "nst")
    return EchoScore(
        erle_db=erle_db(scene.sound.echo, scene.sound.noise, out, FAR),
        converged_db=erle_db(scene.sound.echo, scene.sound.noise, out, CONVERGED),
        far_echo=far[0],
        both_echo=both[0],
        both_other=both[1],
        near_other=near[1],
        words=len(words),
        wrong=wrong,
    )


def erle_db(
    echo: np.ndarray[Any, Any], noise: np.ndarray[Any, Any], out: Samples, part: slice
) -> float:
    """Echo at the microphone over what is left, in dB, pauses of the far end left out.

    Args:
        echo: [n], the echo alone at the microphone.
        noise: [n], the room's noise alone there; as much as it counts as left in every hop, so that
            nothing can be won by suppressing noise, and a canceller that takes out the echo and
            nothing else is the best there is.
        out: int16 [m], what is left; nobody else may talk in that part.
        part: samples to look at.
    """
    before = _powers(echo[part])
    after = _powers(out[part].astype(np.float64))
    count = min(len(before), len(after))
    after = np.maximum(after[:count], _powers(noise[part])[:count])
    loud = before[:count] > before.max() * 10 ** (-_PAUSE_DB / 10)
    left = float(after[:count][loud].sum())
    # Half a bit: a canceller that gives nothing at all is not infinitely good.
    return float(10 * np.log10(before[:count][loud].sum() / max(left, 0.25 * HOP * loud.sum())))


def _powers(samples: np.ndarray[Any, Any]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    whole = len(samples) // HOP * HOP
    powers: np.ndarray[tuple[int], np.dtype[np.float64]] = np.sum(
        np.asarray(samples[:whole], np.float64).reshape(-1, HOP) ** 2, axis=1
    )
    return powers


def _aecmos(scene: HeardScene, out: Samples, part: slice, talk: str) -> tuple[float, float]:
    """Echo and other degradation of a stretch, 1 to 5."""
    whole = min(part.stop, len(out))
    cut = slice(part.start, whole)
    sample = {
        "lpb": _floats(scene.sound.reference[cut]),
        "mic": _floats(scene.sound.mic[cut]),
        "enh": _floats(out[cut]),
    }
    found = _judge()(sample, talk)
    return float(found["echo_mos"]), float(found["deg_mos"])


@lru_cache(maxsize=1)
def _judge() -> Any:
    try:
        module: Any = importlib.import_module("speechmos.aecmos")
    except ImportError as error:
        raise StartError(
            f"{error.name} is not installed: AECMOS cannot be computed",
            hint="`pip install --group measure` in the checkout installs what measuring needs",
        ) from error
    return module.AECMOS("aecmos_16kHz")


def _floats(samples: Samples) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return samples.astype(np.float64) / 32_768


@lru_cache(maxsize=1)
def _recogniser() -> Any:
    whisper: Any = importlib.import_module("faster_whisper")
    return whisper.WhisperModel(
        str(store.locate("whisper-tiny")), device="cpu", compute_type="int8", cpu_threads=1
    )


def _heard(samples: Samples) -> str:
    """What whisper-tiny makes of it, greedily."""
    segments, _ = _recogniser().transcribe(
        samples.astype(np.float32) / 32_768,
        language="en",
        beam_size=1,
        temperature=0.0,
        condition_on_previous_text=False,
        without_timestamps=True,
    )
    return " ".join(segment.text for segment in segments)


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9']+", text.lower())


def word_errors(said: Sequence[str], heard: Sequence[str]) -> int:
    """Words changed, left out or invented: the least number of edits (Levenshtein, 1966)."""
    row = list(range(len(heard) + 1))
    for at, word in enumerate(said, 1):
        before, row[0] = row[0], at
        for place, other in enumerate(heard, 1):
            cost = before + (word != other)
            before = row[place]
            row[place] = min(cost, before + 1, row[place - 1] + 1)
    return row[-1]
