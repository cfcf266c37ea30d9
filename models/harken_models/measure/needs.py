"""What measuring needs beyond Harken itself, looked for before any of the work is done."""

from __future__ import annotations

import shutil
from ctypes.util import find_library
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from harken.errors import StartError
from harken_models import store
from harken_models.scenes import corpora

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harken_models.scenes.corpora import Split

__all__ = [
    "DEVICE",
    "ECHO",
    "NOISE",
    "PICTURES",
    "SCENES",
    "TRAINING",
    "TRAINING_WORDS",
    "VAD",
    "WAKE",
    "WORDS",
    "Needs",
    "not_installed",
]

_GROUP: Final = "pip install --group measure"
_BROUGHT_BY: Final = {
    "scipy": "pip install -e '.[rig]'",
    "pyroomacoustics": "pip install -e '.[rig]'",
    "onnxruntime": "pip install -e '.[local]'",
    "faster_whisper": "pip install -e '.[local]'",
    "pymicro_wakeword": "pip install --group dev",
    "tensorflow": "pip install --group train",
    "tflite_micro": "pip install --group train",
    "speexdsp": "apt-get install libspeexdsp1",
    "ffmpeg": "apt-get install ffmpeg",
    "espeak-ng": "apt-get install espeak-ng",
    "qemu-system-arm": "apt-get install qemu-system-arm",
    "arm-none-eabi-gcc": "apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi",
}
"""What is not named here is in the dependency group `measure`."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What some work needs.

    Attributes:
        modules: of Python, as they are imported.
        libraries: shared ones, as a linker calls them.
        programs: on the search path.
        splits: whose recordings, every package of them: figures with others would be other figures.
        models: in the model store.
    """

    modules: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    splits: tuple[Split, ...] = ()
    models: tuple[str, ...] = ()

    def adding(self, *modules: str, models: Sequence[str] = ()) -> Needs:
        """The same and more."""
        return replace(self, modules=(*self.modules, *modules), models=(*self.models, *models))

    def check(self, task: str) -> None:
        """Make sure that all of it is there, in a moment.

        Args:
            task: for people: what cannot be done without.

        Raises:
            StartError: something is not installed; names all of it, and what brings it.
            ModelMissingError: a model is not in the store.
        """
        missing = [name for name in self.modules if find_spec(name) is None]
        missing += [name for name in self.libraries if find_library(name) is None]
        missing += [name for name in self.programs if shutil.which(name) is None]
        packages = [name for split in self.splits for name in corpora.missing_packages(split)]
        if missing or packages:
            raise not_installed(task, missing, packages)
        for model in self.models:
            store.locate(model)


def not_installed(task: str, missing: Sequence[str], packages: Sequence[str] = ()) -> StartError:
    """The error of something that is missing.

    Args:
        task: what cannot be done without, e.g. "`harken bench vad`".
        missing: modules, libraries and programs.
        packages: of Debian.
    """
    commands = dict.fromkeys(_BROUGHT_BY.get(name, _GROUP) for name in missing)
    if packages:
        commands[f"apt-get install {' '.join(dict.fromkeys(packages))}"] = None
    names = ", ".join(dict.fromkeys([*missing, *packages]))
    return StartError(
        f"{task} needs what is not installed: {names}",
        hint=f"in the checkout, `make setup` brings it all; or: {'; '.join(commands)}",
    )


SCENES: Final = Needs(modules=("scipy", "pyroomacoustics"), programs=("ffmpeg",), splits=("test",))
"""People, music and noise in simulated rooms."""
WORDS: Final = Needs(modules=("faster_whisper",), models=("whisper-tiny",))
"""Counting the words that a recogniser mishears."""
ECHO: Final = replace(
    SCENES.adding("livekit", "speechmos", "librosa", "onnxruntime"), libraries=("speexdsp",)
)
VAD: Final = SCENES.adding("webrtcvad", "onnxruntime", models=("silero-vad",))
WAKE: Final = SCENES.adding("pymicro_wakeword")
DEVICE: Final = replace(SCENES, programs=(*SCENES.programs, "qemu-system-arm", "arm-none-eabi-gcc"))
NOISE: Final = SCENES.adding("pystoi", "speechmos", "librosa", "onnxruntime")
"""Judging what suppresses noise."""
TRAINING: Final = replace(
    SCENES.adding("tensorflow", "tflite_micro", "matplotlib"), splits=("train", "test")
)
TRAINING_WORDS: Final = replace(TRAINING, programs=(*TRAINING.programs, "espeak-ng"))
"""Training wake words; espeak-ng knows how what is said sounds."""
PICTURES: Final = Needs(modules=("matplotlib",), programs=("ffmpeg",), splits=("train", "test"))
"""Drawing, and listing the talkers of both splits."""
