"""`harken bench device`: what the device's whole audio path takes of a processor, part by part.

Instructions are counted, not timed: MicroPython and the very modules that a board loads run on an
emulated Cortex-M4F (`harken_hil.bench.on_board`), fed with a scene in which an answer plays loudly
and somebody talks over it. First the firmware's own `Engine.hop`, C and Python; then each part of
the C by itself. Drivers, the network, the lights and the interpreter's garbage collection are not
in it. A core of 240 MHz that does one instruction a cycle is the floor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from harken_hil.bench.measure import (
    MIN_ROUNDS,
    BenchOptions,
    BenchResult,
    Figure,
    Goal,
    Setting,
    counted,
)
from harken_hil.bench.on_board import (
    BoardCounts,
    HopState,
    code_sizes,
    count_hops,
    count_on_board,
)
from harken_models import store
from harken_models.core import HOP, Cleaner
from harken_models.measure.echo_matrix import BOTH, EchoCase, hear
from harken_models.measure.needs import DEVICE
from harken_models.measure.ours import shipped_tflite
from harken_models.measure.wake_models import shipped
from harken_models.pack import pack
from harken_models.train.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["QUICK", "ROUNDS", "SETTINGS", "run"]

QUICK: Final = True
# It comes out the same every time.
ROUNDS: Final = MIN_ROUNDS
SETTINGS: Final[dict[str, Setting]] = {
    "complexity": Setting("of the Opus encoder", 0, 0, 10),
}

_CLOCK_HZ: Final = 240_000_000
_HOPS_A_SECOND: Final = 100
_MOST: Final = 0.60
_ALL: Final = "cleaner, everything, loudspeaker playing"
_IDLE: Final = "cleaner, everything, loudspeaker silent"
_CLEANERS: Final[dict[str, tuple[int, bool]]] = {
    "cleaner, high-pass alone": (Cleaner.HIGHPASS, False),
    "cleaner, high-pass and echo": (Cleaner.HIGHPASS | Cleaner.ECHO, True),
    "cleaner, and residual echo": (Cleaner.HIGHPASS | Cleaner.ECHO | Cleaner.SUPPRESS, True),
    "cleaner, and noise": (Cleaner.ALL & ~Cleaner.GAIN, True),
    _ALL: (Cleaner.ALL, True),
    _IDLE: (Cleaner.ALL, False),
}
# Where no word of ours is shipped, published models stand in.
_WORDS: Final = {"wake word": "okay-nabu", "stop word": "alexa"}
_STOP: Final = "stop"
_OTHERS: Final = ("vad", "noise")
_HOPS: Final = {
    "whole hop, answering and listening, a wake word and the stop word": HopState(True, True),
    "whole hop, answering and listening, two wake words and the stop word": HopState(True, True, 2),
    "whole hop, answering, two wake words and the stop word": HopState(True, False, 2),
    "whole hop, listening": HopState(False, True),
    "whole hop, waiting for the wake word": HopState(False, False),
}
# Ten seconds in, where both talk: the filter has converged, nothing is silent.
_CASE: Final = EchoCase(1_000, 60, 0.2, 6.0, -26.0, -65.0, 0.0, "allison-smith", "sphinx-librivox")
_SECONDS: Final = 4
_SKIPPED_HOPS: Final = 200
_ROWS_A_BLOCK: Final = 13
"""Rows of what was played that the device takes at once to look for a word in them."""
_FILES: Final = {
    "cleaner": ("cleaner", "highpass", "spectrum", "noise", "gain", "residue", "echo", "kalman",
                "leak", "delay", "near", "fft320"),
    "features": ("speech_features", "fft"),
    "decision": ("vad",),
    "models": ("int8_engine", "int8_kernels", "int8_model"),
}  # fmt: skip


def run(options: BenchOptions) -> BenchResult:
    """Instructions in 10 ms of the whole path in each state, RAM and flash by part.

    Raises:
        StartError: emulator, compiler or corpora are missing.
        ModelMissingError: a model that stands in is not in the model store.
    """
    DEVICE.check("`harken bench device`")
    progress = Progress(quiet=options.silent)
    models, which = _models()
    with progress.showing("counting on an emulated Cortex-M4F"):
        scene = hear(_CASE).sound
        seconds = 3 if options.quick else _SECONDS
        start = BOTH.start - 2 * 16_000
        cut = slice(start, start + seconds * 16_000 // HOP * HOP)
        sound = scene.mic[cut].tobytes(), scene.reference[cut].tobytes()
        complexity = int(options.settings.get("complexity", 0))
        board = count_on_board(
            *sound, _CLEANERS, models, first=_SKIPPED_HOPS, complexity=complexity
        )
        hops = count_hops(*sound, _HOPS, models, first=_SKIPPED_HOPS, complexity=complexity)
        sizes = code_sizes()
    flash = _flash(sizes, models)
    searching = _ROWS_A_BLOCK * board.mean["wake word"]
    detail = {
        "words": which,
        "flash": flash,
        "ram": board.ram,
        "worst call": board.worst,
        "more while a doubtful word is looked for, 10 hops long": searching,
    }
    figures: list[Figure] = []
    for name, (mean, worst) in hops.items():
        more: dict[str, float] = {"worst": worst / 1_000}
        if _HOPS[name].playing:
            more["with a doubtful word looked for, C alone of it"] = (mean + searching) / 1_000
        figures.append(_whole(name, mean, more))
    figures += [
        _share(name, parts, board, detail if at == 0 else {})
        for at, (name, parts) in enumerate(_states().items())
    ]
    data = {
        "mean": board.mean,
        "worst": board.worst,
        "ram": board.ram,
        "flash": flash,
        "states": _states(),
        "whole hops": hops,
        "words": which,
    }
    return BenchResult("device", tuple(figures), data)


def _models() -> tuple[dict[str, bytes], dict[str, str]]:
    """Packed models by name, and which words are run."""
    found: dict[str, bytes] = {}
    which: dict[str, str] = {}
    own = [word.path for word in shipped()]
    ours = {
        "wake word": [path for path in own if path.stem != _STOP],
        "stop word": [path for path in own if path.stem == _STOP],
    }
    for name, published in _WORDS.items():
        if ours[name]:
            found[name] = pack(ours[name][0].read_bytes())
            which[name] = ours[name][0].stem
        else:
            found[name] = pack(store.weights(published).read_bytes())
            which[name] = f"{published} stands in"
    for name in _OTHERS:
        found[name] = pack(shipped_tflite(name).read_bytes())
    return found, which


def _states() -> dict[str, dict[str, float]]:
    """What runs in each 10 ms, and how often, in the device's states."""
    # Words and voices are looked for in different outputs of the cleaner.
    waiting = {_IDLE: 1.0, "features": 2.0, "decision": 1.0, "wake word": 1.0, "vad": 1.0}
    listening = waiting | {"encoder": 1.0}
    # And words in what the loudspeaker plays, before they count.
    answering = {_ALL: 1.0, "features": 3.0, "decision": 1.0, "wake word": 1.0, "stop word": 1.0}
    answering |= {"vad": 1.0, "encoder": 1.0, "decoder": 1.0}
    return {
        "answering: echo, two words, voice, Opus both ways": answering,
        "listening: no echo, a word, voice, Opus up": listening,
        "waiting for the wake word": waiting,
        "answering, with the noise model, which is off by default": answering | {"noise": 1.0},
    }


def _share(
    name: str, parts: Mapping[str, float], board: BoardCounts, detail: Mapping[str, Any]
) -> Figure:
    by = {part: times * board.mean[part] / 1_000 for part, times in parts.items()}
    instructions = 1_000 * sum(by.values())
    return _whole(f"{name}, C alone", instructions, {"by": by} | dict(detail))


def _whole(name: str, instructions: float, detail: Mapping[str, Any]) -> Figure:
    return counted(
        name,
        "k instructions in 10 ms",
        Goal("ratio to floor", "<=", _MOST),
        instructions / 1_000,
        floor=("a core of 240 MHz", _CLOCK_HZ / _HOPS_A_SECOND / 1_000),
        detail=detail,
    )


def _flash(sizes: Mapping[str, int], models: Mapping[str, bytes]) -> dict[str, int]:
    """Bytes of code and constants, by part; models as they are packed."""
    named = {part: sum(sizes.get(file, 0) for file in files) for part, files in _FILES.items()}
    rest = sum(sizes.values()) - sum(named.values())
    return named | {"rest of the core": rest} | {name: len(model) for name, model in models.items()}
