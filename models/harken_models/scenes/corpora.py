"""Human speech, music and noise to train and to measure with, from installed Debian packages.

The two splits share no talker and no piece of music:

* `test`: asterisk's English and Spanish prompts (one woman, Allison Smith, speaks both), CMU
  Sphinx's test data, ALSA's channel names, and the volunteers who spoke the languages of
  `_TEST_LANGUAGES` for KLettres and KTuberling.
* `train`: asterisk's French, Italian and Russian prompts, and all other languages of KLettres and
  KTuberling.

Neither package of KDE says who spoke a language, and one volunteer may have done so for both: a
language is one talker here, and wholly in one split. Sounds that are not speech are left out.

PyPI's `pytest-audioeval` is not used: nothing says that its clips are human, and its languages are
those of a text to speech engine that its own instructions start.
"""

from __future__ import annotations

import gzip
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from harken.errors import StartError
from harken_models.scenes.decoded import RATE, decoded
from harken_models.scenes.noises import noise_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from harken_models.scenes.decoded import Progress, Samples

__all__ = [
    "NOISES",
    "PACKAGES",
    "RATE",
    "SPLITS",
    "Clip",
    "Split",
    "TalkerSummary",
    "missing_packages",
    "music",
    "noise",
    "speech",
    "talkers",
]

Split = Literal["train", "test"]
SPLITS: Final[tuple[Split, ...]] = ("train", "test")

_SHARE: Final = Path("/usr/share")
_SOUNDS: Final = _SHARE / "asterisk/sounds"
_SPHINX: Final = _SHARE / "pocketsphinx/test/data"
# Prompts that are tones, silence or animals, or end in a tone.
_NOT_SPEECH: Final = re.compile(
    r"/silence/|/(beep|beeperr|ascending-2tone|descending-2tone|confbridge-join|confbridge-leave"
    r"|tt-monkeys|vm-intro|is-set|spy-.*)\.g722$"
)
_TEST_LANGUAGES: Final = frozenset(
    {"ar", "el", "en", "en_GB", "gl", "he", "hu", "nb", "nl", "pt_BR", "sl", "uk", "wa"}
)
# Recorded so loudly that decoding clips it, or the same voice under another spelling.
_LEFT_OUT: Final = frozenset({"tn", "sr@ijekavian", "sr@ijekavianlatin", "sr@latin"})
_MUSIC_PACKAGE: Final = "asterisk-moh-opsound-g722"
_MUSIC: Final[dict[Split, tuple[str, ...]]] = {
    "train": ("macroform-cold_day", "macroform-robot_dity", "macroform-the_simplicity"),
    "test": ("manolo_camp-morning_coffee", "reno_project-system"),
}

NOISES: Final[Mapping[Split, tuple[str, ...]]] = {
    "train": ("white", "pink", "brown", "hum", "fan", "traffic", "babble"),
    "test": ("white", "pink", "fan", "traffic", "vacuum", "typing", "babble"),
}
"""Kinds of noise of a split; all are synthetic but the babble, and two are never trained on."""


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """A recording of one human talker, or of music.

    Attributes:
        samples: int16 [n], 16 kHz, read-only.
        talker: who speaks; the same name never appears in both splits.
        language: as the package calls it; "" for music.
        source: the Debian package.
        text: what is said, where the package says so.
        licence: an SPDX expression.
        name: the file, without its ending.
    """

    samples: Samples
    talker: str
    language: str
    source: str
    text: str | None
    licence: str
    name: str

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.samples) / RATE


@dataclass(frozen=True, slots=True)
class TalkerSummary:
    """How much one talker says in a split.

    Attributes:
        talker, language, source, licence: as in `Clip`.
        clips: recordings.
        minutes: of them all, pauses included.
    """

    talker: str
    language: str
    source: str
    licence: str
    clips: int
    minutes: float


@dataclass(frozen=True, slots=True)
class _Collection:
    """A talker's recordings in a package.

    Attributes:
        package, licence: as in `Clip`.
        talker, language: as in `Clip`.
        split: where the talker belongs.
        root: the folder below which the files lie.
        pattern: which files below it.
    """

    package: str
    talker: str
    language: str
    split: Split
    root: Path
    pattern: str
    licence: str = "CC-BY-SA-3.0"

    def files(self) -> list[Path]:
        """What there is, in order."""
        found = self.root.glob(self.pattern)
        return sorted(path for path in found if not _NOT_SPEECH.search(path.as_posix()))


def _asterisk(language: str, folder: str, talker: str, split: Split, licence: str) -> _Collection:
    package = f"asterisk-core-sounds-{language}-g722"
    return _Collection(package, talker, language, split, _SOUNDS / folder, "**/*.g722", licence)


def _sphinx(talker: str, pattern: str) -> _Collection:
    return _Collection(
        "pocketsphinx-testdata", f"sphinx-{talker}", "en", "test", _SPHINX, pattern, "BSD-2-Clause"
    )


_NAMED: Final = (
    _asterisk("en", "en_US_f_Allison", "allison-smith", "test", "CC-BY-SA-3.0"),
    _asterisk("es", "es_MX_f_Allison", "allison-smith", "test", "CC-BY-SA-3.0"),
    _asterisk("fr", "fr_CA_f_June", "june-wallack", "train", "CC-BY-SA-3.0"),
    _asterisk("it", "it_IT_m_Carlo", "carlo-flora", "train", "CC-BY-3.0"),
    _asterisk("ru", "ru_RU_f_IvrvoiceRU", "ivrvoice-ru", "train", "CC-BY-3.0"),
    _sphinx("librivox", "librivox/*.wav"),
    _sphinx("cards", "cards/*.wav"),
    _sphinx("tidigits", "tidigits/*.raw"),
    _sphinx("commands", "*.raw"),
    _Collection(
        "alsa-utils", "alsa", "en", "test", _SHARE / "sounds/alsa", "[!N]*.wav", "GPL-2.0-or-later"
    ),
)
_VOLUNTEERS: Final = (
    ("klettres-data", _SHARE / "klettres"),
    ("ktuberling-data", _SHARE / "ktuberling/sounds"),
)

PACKAGES: Final = (
    *dict.fromkeys(collection.package for collection in _NAMED),
    *(package for package, _ in _VOLUNTEERS),
    _MUSIC_PACKAGE,
    "ffmpeg",
)
"""What `apt-get install` brings all of it."""


def _volunteers() -> Iterator[_Collection]:
    """The languages of KLettres and KTuberling."""
    for package, root in _VOLUNTEERS:
        folders = sorted(path for path in root.glob("*") if path.is_dir())
        for folder in folders:
            language = folder.name
            if language in _LEFT_OUT:
                continue
            split: Split = "test" if language in _TEST_LANGUAGES else "train"
            talker = f"volunteer-{language.split('_')[0] if language != 'en_GB' else 'en_GB'}"
            yield _Collection(
                package, talker, language, split, folder, "**/*.ogg", "GPL-2.0-or-later"
            )


def speech(split: Split, progress: Progress | None = None) -> Iterator[Clip]:
    """Human speech of a split, talker after talker, always in the same order.

    Args:
        split: "train" or "test"; they share no talker.
        progress: called with files decoded and files in all of a collection that is decoded for
            the first time.

    Raises:
        StartError: none of the packages is installed, or ffmpeg is not; the hint names them.
        AudioError: a recording cannot be decoded.
    """
    found = False
    for collection in (*_NAMED, *_volunteers()):
        if collection.split != split:
            continue
        for clip in _clips(collection, progress):
            found = True
            yield clip
    if not found:
        raise _missing(f"no human speech to {split} with is installed")


def missing_packages(split: Split) -> list[str]:
    """The Debian packages of a split's speech and music of which nothing is installed."""
    wanted = [each.package for each in _NAMED if each.split == split]
    wanted += [package for package, _ in _VOLUNTEERS]
    there = {
        each.package for each in (*_NAMED, *_volunteers()) if each.split == split and each.files()
    }
    missing = [package for package in dict.fromkeys(wanted) if package not in there]
    return missing if _music_files(split) else [*missing, _MUSIC_PACKAGE]


def talkers(split: Split) -> list[TalkerSummary]:
    """Who speaks in a split, and how much, most first.

    Raises:
        StartError: as `speech`.
    """
    clips: Counter[tuple[str, str, str, str]] = Counter()
    seconds: Counter[tuple[str, str, str, str]] = Counter()
    for clip in speech(split):
        key = (clip.talker, clip.language, clip.source, clip.licence)
        clips[key] += 1
        seconds[key] += len(clip.samples)
    return [
        TalkerSummary(*key, clips[key], samples / RATE / 60)
        for key, samples in seconds.most_common()
    ]


def music(split: Split, progress: Progress | None = None) -> Iterator[Clip]:
    """Music of a split; the splits share no piece and no artist.

    Raises:
        StartError: the package, or ffmpeg, is not installed.
        AudioError: a piece cannot be decoded.
    """
    files = _music_files(split)
    if not files:
        raise _missing("no music is installed", _MUSIC_PACKAGE)
    samples, index = decoded(f"music-{split}", files, progress)
    for entry in index:
        name = Path(entry.path).stem
        yield Clip(
            samples[entry.start : entry.end],
            name.partition("-")[0],
            "",
            _MUSIC_PACKAGE,
            None,
            "CC-BY-SA-3.0",
            name,
        )


def _music_files(split: Split) -> list[Path]:
    root = _SHARE / "asterisk/moh"
    return [path for name in _MUSIC[split] if (path := root / f"{name}.g722").exists()]


def noise(kind: str, seconds: float, rng: np.random.Generator, split: Split = "train") -> Samples:
    """A stretch of noise.

    Args:
        kind: one of `NOISES`; "babble" is eight of the split's talkers at once.
        seconds: how long.
        rng: every stretch is another one.
        split: whose talkers babble.

    Returns:
        int16 [n], 16 kHz, peaking at half of full scale.

    Raises:
        StartError: as `speech`, for babble.
        ConfigError: there is no such noise.
    """
    count = round(seconds * RATE)
    if kind == "babble":
        return _babble(count, rng, split)
    return noise_of(kind, count, rng)


def _babble(count: int, rng: np.random.Generator, split: Split) -> Samples:
    """Eight talkers, each one's clips end to end from a place of its own."""
    by_talker: dict[str, list[Samples]] = {}
    for clip in speech(split):
        by_talker.setdefault(clip.talker, []).append(clip.samples)
    names = list(by_talker)
    total = np.zeros(count)
    for pick in rng.choice(len(names), 8, replace=len(names) < 8):
        clips = by_talker[names[pick]]
        said: list[Samples] = []
        while sum(part.size for part in said) < count:
            said.append(clips[int(rng.integers(len(clips)))])
        voice = np.concatenate(said)[:count].astype(np.float64)
        total += voice / max(float(np.sqrt(np.mean(voice**2))), 1.0)
    loudest = max(float(np.abs(total).max(initial=0.0)), 1e-9)
    babble: Samples = (total * (16_384 / loudest)).astype(np.int16)
    return babble


def _clips(collection: _Collection, progress: Progress | None) -> Iterator[Clip]:
    files = collection.files()
    if not files:
        return
    label = f"{collection.package}-{collection.talker}-{collection.language}"
    samples, index = decoded(label, files, progress)
    texts = _texts(collection)
    for entry in index:
        name = Path(entry.path).relative_to(collection.root).with_suffix("").as_posix()
        yield Clip(
            samples[entry.start : entry.end],
            collection.talker,
            collection.language,
            collection.package,
            texts.get(name) or texts.get(Path(name).name),
            collection.licence,
            name,
        )


def _texts(collection: _Collection) -> dict[str, str]:
    """What is said in which file, as the package knows it."""
    if collection.package.startswith("asterisk"):
        documented = f"asterisk-core-sounds-{collection.language}"
        path = _SHARE / "doc" / documented / f"core-sounds-{collection.language}.txt.gz"
        if not path.exists():
            return {}
        lines = gzip.decompress(path.read_bytes()).decode("utf-8", "replace").splitlines()
        pairs = (line.partition(": ") for line in lines if not line.startswith(";"))
        return {name: text.strip() for name, sign, text in pairs if sign and _plain(text)}
    if collection.package == "pocketsphinx-testdata":
        files = (_SPHINX / "librivox/transcription", _SPHINX / "cards/cards.transcription")
        found: dict[str, str] = {}
        for path in files:
            if path.exists():
                found |= _sphinx_texts(path.read_text(encoding="utf-8"))
        return found
    return {}


def _plain(text: str) -> bool:
    """Whether a transcription is only what is said."""
    return not re.search(r"[\[(<]", text)


def _sphinx_texts(text: str) -> dict[str, str]:
    """Lines of `<s> what is said </s> (name)`."""
    found: dict[str, str] = {}
    for said, name in re.findall(r"<s>(.*?)</s>\s*\((\S+)\)", text):
        found[name] = said.strip()
    return found


def _missing(what: str, *packages: str) -> StartError:
    return StartError(what, hint=f"apt-get install {' '.join(packages or PACKAGES)}")
