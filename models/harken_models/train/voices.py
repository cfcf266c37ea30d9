"""Voices of the text-to-speech engines that are installed, and which of them are held out.

A voice belongs to a talker: whoever it was recorded from. Two engines may have the same talker's
voice; talkers, not voices, are held out for tests. A formant synthesiser has no talker, so each of
espeak-ng's variants counts as one.
"""

from __future__ import annotations

import shutil
import subprocess
import zlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

from harken.errors import ModelError, StartError
from harken_models.store import weights

__all__ = ["NATURAL", "Part", "Voice", "installed_voices", "missing_voices", "part_of"]

Part = Literal["train", "validation", "test"]

_DEADLINE_S = 20.0
# Whole talkers, never trained on: an American, a Scot and a Briton.
_HELD_OUT: Final = frozenset({"kd", "awb", "pico-gb"})
_FLITE: Final = {"kal16": "kal", "awb": "awb", "rms": "rms", "slt": "slt"}
_FESTIVAL: Final = {
    "english/kal_diphone": ("kal_diphone", "kal"),
    "english/ked_diphone": ("ked_diphone", "kd"),
    "us/cmu_us_slt_arctic_hts": ("cmu_us_slt_arctic_hts", "slt"),
    # These speak English with an accent.
    "italian/lp_diphone": ("lp_diphone", "lp"),
    "italian/pc_diphone": ("pc_diphone", "pc"),
    "finnish/suo_fi_lj_diphone": ("suo_fi_lj_diphone", "lj"),
    "finnish/hy_fi_mv_diphone": ("hy_fi_mv_diphone", "mv"),
    "czech/czech_ph": ("czech_ph", "ph"),
    "czech/czech_dita": ("czech_dita", "dita"),
    "czech/czech_krb": ("czech_krb", "krb"),
    "czech/czech_machac": ("czech_machac", "machac"),
}
_FESTVOX: Final = {
    "english/kal_diphone": "kallpc16k", "english/ked_diphone": "kdlpc16k",
    "us/cmu_us_slt_arctic_hts": "us-slt-hts",
    "italian/lp_diphone": "italp16k", "italian/pc_diphone": "itapc16k",
    "finnish/suo_fi_lj_diphone": "suopuhe-lj", "finnish/hy_fi_mv_diphone": "suopuhe-mv",
    "czech/czech_ph": "czech-ph", "czech/czech_dita": "czech-dita",
    "czech/czech_krb": "czech-krb", "czech/czech_machac": "czech-machac",
}  # fmt: skip
_FESTIVAL_ROOT: Final = Path("/usr/share/festival/voices")
_PICO: Final = {"en-US": "pico-us", "en-GB": "pico-gb", "de-DE": "pico-de", "it-IT": "pico-it"}
_ACCENTS: Final = ("en-us", "en-gb", "en-gb-x-rp", "en-gb-scotland", "en-029", "en-us")
# Those of espeak-ng's variants that sound like people.
_VARIANTS: Final = (
    "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "f1", "f2", "f3", "f4", "f5", "adam",
    "Alex", "Alicia", "Andrea", "Andy", "Annie", "antonio", "aunty", "belinda", "benjamin",
    "boris", "caleb", "david", "Denis", "Diogo", "ed", "edward", "Gene", "grandma", "grandpa",
    "Henrique", "Hugo", "iven2", "Jacky", "john", "Lee", "linda", "Marco", "Mario", "max",
    "michael", "mike", "pablo", "paul", "pedro", "quincy", "rob", "robert", "sandro", "shelby",
    "steph", "steph2", "steph3", "travis", "victor", "zac",
)  # fmt: skip
NATURAL: Final = ("piper", "flite", "festival", "pico")
"""Engines made from recordings of a person."""


@dataclass(frozen=True, order=True)
class Voice:
    """One voice of an engine.

    Attributes:
        engine: "piper", "flite", "festival", "pico" or "espeak-ng".
        name: as the engine calls it.
        talker: whoever it was made from.
    """

    engine: str
    name: str
    talker: str


def installed_voices() -> list[Voice]:
    """Every voice that can speak here, in a fixed order.

    Raises:
        StartError: there is none; the hint names packages.
    """
    voices = [*_piper(), *_flite(), *_festival(), *_pico(), *_espeak()]
    if not voices:
        raise StartError(
            "no text-to-speech engine is installed: nobody can say the phrase",
            hint="; ".join(missing_voices()),
        )
    return voices


def missing_voices() -> list[str]:
    """The commands that bring every engine and voice that is not installed."""
    packages = [name for name in ("espeak-ng", "flite", "festival") if shutil.which(name) is None]
    packages += [
        f"festvox-{name}"
        for folder, name in _FESTVOX.items()
        if not (_FESTIVAL_ROOT / folder).is_dir()
    ]
    commands = [f"apt-get install {' '.join(packages)}"] if packages else []
    if not _pico():
        commands.append("pip install --group voices (it is built with gcc)")
    if not _piper():
        commands.append("pip install -e '.[local]' && harken models pull piper-joe")
    return commands


def part_of(voice: Voice) -> Part:
    """Where a voice belongs; all voices of a talker belong to one part."""
    if voice.talker in _HELD_OUT:
        return "test"
    if voice.engine != "espeak-ng":
        return "train"
    # By a number that stays the same whatever else is installed.
    chance = zlib.crc32(voice.talker.encode()) % 8
    return "test" if chance < 2 else "validation" if chance == 2 else "train"


def _piper() -> list[Voice]:
    try:
        weights("piper-joe")
    except ModelError:
        return []
    return [Voice("piper", "piper-joe", "joe")] if find_spec("piper") else []


def _flite() -> list[Voice]:
    if shutil.which("flite") is None:
        return []
    listed = subprocess.run(
        ["flite", "-lv"], capture_output=True, text=True, timeout=_DEADLINE_S, check=False
    )
    there = set(listed.stdout.split())
    return [Voice("flite", name, talker) for name, talker in _FLITE.items() if name in there]


def _festival() -> list[Voice]:
    if shutil.which("festival") is None:
        return []
    return [
        Voice("festival", name, talker)
        for folder, (name, talker) in _FESTIVAL.items()
        if (_FESTIVAL_ROOT / folder).is_dir()
    ]


def _pico() -> list[Voice]:
    if find_spec("ttspico") is None:
        return []
    return [Voice("pico", name, talker) for name, talker in _PICO.items()]


def _espeak() -> list[Voice]:
    if shutil.which("espeak-ng") is None:
        return []
    return [
        Voice("espeak-ng", f"{_ACCENTS[number % len(_ACCENTS)]}+{variant}", f"espeak-{variant}")
        for number, variant in enumerate(_VARIANTS)
    ]
