"""English as speakers of other languages pronounce it: phonemes in the place of spelling.

A German or Finnish voice that is given English spelling reads it by its own rules. Given the
sounds that its language has nearest to the English ones, it speaks with an accent instead.
"""

from __future__ import annotations

from typing import Final

from harken_models.train.phrase import pronounced

__all__ = ["ACCENTS", "accented", "is_vowel"]


def _sounds(text: str) -> dict[str, str]:
    """A table written as `english=theirs,next`; consonants that it does not name are the same."""
    shared = {sound: sound for sound in "bdfghjklmnpstvz"} | {"n-": "n", "t#": "d"}
    pairs = (part.split("=") for part in text.split())
    return shared | {english: theirs.replace(",", " ") for english, theirs in pairs}


# From espeak-ng's American phonemes to the names that each engine has for its voices' sounds. An r-
# joins a vowel that has an r of its own in most of them to the next.
_GERMAN: Final = _sounds(
    "eI=E,I aI=a,I aU=a,U oU=o: OI=O,Y I=I i=i: i:=i: E=E a=E aa=a: A:=a: A=a: 0=O O=O O:=o: V=a"
    " U=U u=u: u:=u: @=@ @-=@ a#=@ I#=I 3=6 3:=9,6 A@=a:,6 O@=O,6 o@=o:,6 e@=E,6 i@=i:,6 i@3=i:,6"
    " U@=u:,6 aI3=a,I,6 aI@=a,I,6 @L=@,l r=R r-=R w=v T=s D=z S=S Z=Z tS=t,S dZ=d,Z N=N"
)
_ITALIAN: Final = _sounds(
    "eI=E,i aI=a,i aU=a,u oU=o,u OI=O,i I=i i=i i:=i E=E a=E aa=a A:=a A=a 0=O O=O O:=o V=a"
    " U=u u=u u:=u @=e @-=e a#=a I#=i 3=e,r 3:=e,r A@=a,r O@=o,r o@=o,r e@=e,r i@=i,e i@3=i,e,r"
    " U@=u,r aI3=a,i,r aI@=a,i,e @L=o,l r=r r-= w=w T=t D=d S=S Z=dZ tS=tS dZ=dZ N=n,g"
)
_FINNISH: Final = _sounds(
    "eI=e,i aI=a,i aU=a,u oU=o,u OI=o,i I=i i=i i:=i: E=e a=& aa=a: A:=a: A=a: 0=o O=o O:=o: V=a"
    " U=u u=u u:=u: @=e @-=e a#=a I#=i 3=7,r 3:=7:,r A@=a:,r O@=o:,r o@=o:,r e@=e:,r i@=i:,r"
    " i@3=i:,r U@=u:,r aI3=a,i,r aI@=a,i,e @L=o,l r=r r-= w=v T=t D=d z=s S=S Z=S tS=t,S dZ=d,S N=N"
)
_CZECH: Final = _sounds(
    "eI=e,j aI=a,j aU=a,u oU=o,u OI=o,j I=i i=i i:=i: E=e a=e aa=a: A:=a: A=a: 0=o O=o O:=o: V=a"
    " U=u u=u u:=u: @=e @-=e a#=a I#=i 3=e,r 3:=e:,r A@=a:,r O@=o:,r o@=o:,r e@=e:,r i@=i:,r"
    " i@3=i:,r U@=u:,r aI3=a,j,r aI@=a,j,e @L=o,l r=r r-= w=v T=t D=d S=s~ Z=z~ tS=c~ dZ=dz~ N=n*"
)
# These voices have no sound like an English h, and leave it out, as Italians do.
_ROMAN: Final = _ITALIAN | {"h": ""}
ACCENTS: Final = {
    "de-DE": _GERMAN,
    "it-IT": _ITALIAN,
    "lp_diphone": _ROMAN,
    "pc_diphone": _ROMAN,
    "suo_fi_lj_diphone": _FINNISH,
    "hy_fi_mv_diphone": _FINNISH,
    "czech_ph": _CZECH,
    "czech_dita": _CZECH,
    "czech_krb": _CZECH,
    "czech_machac": _CZECH,
}
"""Voices that speak with an accent, by their names."""


def accented(texts: list[str], voice: str) -> list[list[str]]:
    """The texts as sounds of a voice of another language; what its table lacks is left out.

    Args:
        texts: English.
        voice: one of `ACCENTS`.

    Raises:
        StartError: espeak-ng, which knows how English is said, is not installed.
    """
    table = ACCENTS[voice]
    return [
        " ".join(table.get(sound, "") for sound in sounds).split() for sounds in pronounced(texts)
    ]


def is_vowel(sound: str) -> bool:
    """Whether a sound of a voice's own is a vowel, which lasts longer."""
    return sound[0] in "aeiouyEIOU@679&"
