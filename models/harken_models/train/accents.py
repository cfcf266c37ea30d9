"""English as speakers of other languages pronounce it: phonemes in the place of spelling.

A German or Italian voice that is given English spelling reads it by its own rules. Given the
phonemes that its language has nearest to the English ones, it speaks with an accent instead.
"""

from __future__ import annotations

from typing import Final

from harken_models.train.phrase import pronounced

__all__ = ["ACCENTS", "accented"]

# espeak-ng's American phonemes -> X-SAMPA as SVOX Pico's voices know it. Consonants that all share
# stand for themselves.
_SHARED: Final = {sound: sound for sound in "bdfghjklmnpstvz"} | {
    "N": "N",
    "S": "S",
    "tS": "t S",
    "dZ": "d Z",
}
_GERMAN: Final = {
    "eI": "E I", "aI": "a I", "aU": "a U", "oU": "o:", "OI": "O Y", "I": "I", "i": "i:",
    "i:": "i:", "E": "E", "a": "E", "aa": "a:", "A:": "a:", "0": "O", "O": "O", "O:": "o:",
    "V": "a", "U": "U", "u:": "u:", "@": "@", "3": "6", "3:": "9 6", "A@": "a: 6", "O@": "O 6",
    "e@": "E 6", "i@": "i: 6", "U@": "u: 6", "@L": "@ l", "r": "R", "w": "v", "T": "s", "D": "z",
    "Z": "Z", "t#": "d", "I#": "I", "a#": "@", "u": "u:", "o@": "o: 6", "i@3": "i: 6", "A": "a:",
    "aI3": "a I 6", "aI@": "a I 6", "n-": "n", "@-": "@",
}  # fmt: skip
_ITALIAN: Final = {
    "eI": "E i", "aI": "a i", "aU": "a u", "oU": "o u", "OI": "O i", "I": "i", "i": "i",
    "i:": "i", "E": "E", "a": "E", "aa": "a", "A:": "a", "0": "O", "O": "O", "O:": "o", "V": "a",
    "U": "u", "u:": "u", "@": "e", "3": "e r", "3:": "e r", "A@": "a r", "O@": "o r",
    "e@": "e r", "i@": "i e", "U@": "u r", "@L": "o l", "r": "r", "w": "w", "T": "t", "D": "d",
    "Z": "dZ", "N": "n g", "tS": "tS", "dZ": "dZ", "t#": "d", "I#": "i", "a#": "a", "u": "u",
    "o@": "o r", "i@3": "i e r", "A": "a", "aI3": "a i r", "aI@": "a i e", "n-": "n", "@-": "e",
}  # fmt: skip
ACCENTS: Final = {"de-DE": _GERMAN, "it-IT": _ITALIAN}
"""Voices that speak with an accent."""


def accented(texts: list[str], language: str) -> list[str]:
    """The texts in X-SAMPA; a sound that the table lacks is left out.

    Args:
        texts: English.
        language: one of `ACCENTS`.

    Raises:
        StartError: espeak-ng, which knows how English is said, is not installed.
    """
    table = ACCENTS[language]
    return [
        " ".join(table.get(sound) or _SHARED.get(sound, "") for sound in sounds)
        for sounds in pronounced(texts)
    ]
