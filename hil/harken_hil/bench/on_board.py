"""The device's audio core on an emulated Cortex-M4F: instructions and memory of each part.

QEMU counts instructions, not cycles: caches, flash wait states and dual issue are not in it. The
script below runs in MicroPython on the emulated board, with the very module that a board loads.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import harken_device
from harken.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BoardCounts", "HopState", "code_sizes", "count_hops", "count_on_board"]

_ROOT: Final = Path(harken_device.__file__).parent.parent.parent
_NATIVE: Final = _ROOT / "firmware/native"
# Building MicroPython for the emulated board comes first where it was never done.
_DEADLINE_S: Final = 540
_COMPILER: Final = ("arm-none-eabi-gcc", "-mthumb", "-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16",
                    "-mfloat-abi=hard", "-O2", "-ffp-contract=off", "-c")  # fmt: skip

_COUNTER: Final = """
import gc, json, machine
memory = machine.mem32
memory[0xE000E014] = 0xFFFFFF
memory[0xE000E018] = 0
memory[0xE000E010] = 5

def now():
    return memory[0xE000E018]

def spent(start):
    return (start - memory[0xE000E018]) & 0xFFFFFF

def blob(name):
    return open("/files/" + name, "rb").read()

mic, played = blob("mic.raw"), blob("played.raw")
hops = len(mic) // 320
view, heard = memoryview(mic), memoryview(played)
"""

_SCRIPT: Final = """
import harken_core, harken_opus

def used():
    gc.collect()
    return gc.mem_alloc()

def built(make):
    start = used()
    thing = make()
    return thing, used() - start

counts, ram = {}, {}

def measure(name, step, first, every=1):
    # 40 instructions a tick; the first hops fill windows and let the canceller converge.
    total = worst = 0
    for hop in range(hops):
        start = now()
        step(hop)
        ticks = spent(start) - nothing
        if hop >= first:
            total += ticks
            worst = max(worst, ticks)
    counts[name] = [40 * total // ((hops - first) * every), 40 * worst]

def noop(hop):
    return hop

start = now()
for hop in range(100):
    begun = now()
    noop(hop)
    spent(begun)
nothing = spent(start) // 100 // 2

out, linear, row = bytearray(320), bytearray(320), bytearray(40)
mics = [view[at : at + 320] for at in range(0, len(mic), 320)]
plays = [heard[at : at + 320] for at in range(0, len(played), 320)]

for name, parts, reference in PARTS:
    cleaner, size = built(harken_core.Cleaner)
    cleaner.switch(parts)
    if reference:
        measure(name, lambda hop: cleaner.step(mics[hop], plays[hop], out, linear), FIRST)
    else:
        measure(name, lambda hop: cleaner.step(mics[hop], None, out, linear), FIRST)
    ram["cleaner"] = size
features, ram["features"] = built(harken_core.Features)
measure("features", lambda hop: features.step(mics[hop], row), FIRST)
vad, ram["decision"] = built(harken_core.Vad)
measure("decision", lambda hop: vad.step(mics[hop], 100), FIRST)
rows = []
features = harken_core.Features()
for hop in mics:
    if features.step(hop, row):
        rows.append(bytes(row))
for name in MODELS:
    weights = blob(name + ".hkm")
    model, ram[name] = built(lambda: harken_core.Model(weights))
    measure(name, lambda hop: model.step(rows[hop % len(rows)]), FIRST)
encoder, ram["encoder"] = built(lambda: harken_opus.Encoder(16000, 24000, COMPLEXITY))
decoder, ram["decoder"] = built(lambda: harken_opus.Decoder(16000))
packet, pcm = bytearray(400), bytearray(640)
frames = [view[at : at + 640] for at in range(0, len(mic) - 639, 640)]
length = 0
encoded, decoded, start_at = [], [], 20
for frame in frames:
    begun = now()
    length = encoder.encode(frame, 320, packet)
    encoded.append(spent(begun) - nothing)
    begun = now()
    decoder.decode(packet, length, pcm, 320)
    decoded.append(spent(begun) - nothing)
for name, ticks in (("encoder", encoded), ("decoder", decoded)):
    kept = ticks[start_at:]
    counts[name] = [40 * sum(kept) // len(kept) // 2, 40 * max(kept)]
print(json.dumps({"counts": counts, "ram": ram}))
"""


# The firmware's own Python, on a board that has the scene for a microphone.
_HOPS: Final = """
from harken_opus import Encoder
from harken_device import core
from harken_device.audio.engine import Engine
from harken_device.audio.hearing import Hearing
from harken_device.audio.wake import WakeWord, Words

class Mic:
    at = 0

    def poll(self, block):
        block[:] = view[self.at : self.at + 320]
        self.at += 320
        return True

class Speaker:
    def write(self, block):
        pass

class Board:
    def __init__(self):
        self.mic = Mic()
        self.speaker = Speaker()

def word(name):
    # A cut-off that nothing reaches: a word would end the state that is counted.
    return WakeWord(core.Model(blob(name + ".hkm")), name, 1.0, 5)

def count(playing, listening, words):
    hearing = Hearing(31)
    hearing.words = Words(tuple(word("wake word") for _ in range(words)), word("stop word"), True)
    hearing.use(core.Model(blob("vad.hkm")), None)
    engine = Engine(Board(), hearing, 700)
    encoder, packet, at = Encoder(16000, 24000, COMPLEXITY), bytearray(400), 0
    if listening:
        engine.listen(0)
    if playing:
        engine.answer_begin()
    total = worst = 0
    for hop in range(hops):
        while playing and at + 640 <= len(played) and engine.buffered_ms < 200:
            engine.answer_packet(packet, 0, encoder.encode(heard[at : at + 640], 320, packet))
            at += 640
        start = now()
        engine.hop()
        ticks = spent(start)
        if hop >= FIRST:
            total += ticks
            worst = max(worst, ticks)
        gc.collect()
    return [40 * total // (hops - FIRST), 40 * worst]

print(json.dumps({name: count(*state) for name, state in STATES.items()}))
"""


@dataclass(frozen=True, slots=True)
class HopState:
    """What the device does in the hops that are counted.

    Attributes:
        playing: an answer is played.
        listening: the microphone's sound is encoded.
        words: wake words that are listened for, the stop word not counted.
    """

    playing: bool
    listening: bool
    words: int = 1


@dataclass(frozen=True, slots=True)
class BoardCounts:
    """What the emulated board counted.

    Attributes:
        mean: instructions in 10 ms, by part, the call from MicroPython included.
        worst: instructions of the worst single call, by part.
        ram: bytes of heap that an object of the part takes, by part.
    """

    mean: dict[str, int]
    worst: dict[str, int]
    ram: dict[str, int]


def count_on_board(
    mic: bytes,
    played: bytes,
    cleaners: Mapping[str, tuple[int, bool]],
    models: Mapping[str, bytes],
    *,
    first: int,
    complexity: int,
) -> BoardCounts:
    """Run the parts on the emulated board.

    Args:
        mic: int16 little-endian, 16 kHz, what the microphone hears.
        played: the same of what the loudspeaker was given, as long.
        cleaners: by name, which parts of the cleaner are on and whether it gets `played`.
        models: packed, by name.
        first: hops that are run but not counted.
        complexity: of the Opus encoder.

    Raises:
        StartError: this is no checkout, the emulator is missing, or the script failed.
    """
    settings = {
        "PARTS": [(name, parts, reference) for name, (parts, reference) in cleaners.items()],
        "MODELS": list(models),
        "FIRST": first,
        "COMPLEXITY": complexity,
    }
    files = {"mic.raw": mic, "played.raw": played} | _packed(models)
    found = _told(_SCRIPT, settings, files)
    counts: dict[str, list[int]] = found["counts"]
    # The board's dictionaries have no order.
    order = [*cleaners, *(name for name in counts if name not in cleaners)]
    return BoardCounts(
        {name: counts[name][0] for name in order},
        {name: counts[name][1] for name in order},
        found["ram"],
    )


def count_hops(
    mic: bytes,
    played: bytes,
    states: Mapping[str, HopState],
    models: Mapping[str, bytes],
    *,
    first: int,
    complexity: int,
) -> dict[str, tuple[int, int]]:
    """Run the firmware's own `Engine.hop` on the emulated board: all of the C, and all Python.

    Args:
        mic: int16 little-endian, 16 kHz, what the microphone hears.
        played: the same of the answer, as long.
        states: by name.
        models: packed: "wake word", "stop word" and "vad".
        first: hops that are run but not counted.
        complexity: of the Opus encoder.

    Returns:
        By state, instructions in a hop, and in the worst one.

    Raises:
        StartError: as `count_on_board`.
    """
    settings = {
        "STATES": {
            name: (state.playing, state.listening, state.words) for name, state in states.items()
        },
        "FIRST": first,
        "COMPLEXITY": complexity,
    }
    files = {"mic.raw": mic, "played.raw": played} | _packed(models)
    device = Path(harken_device.__file__).parent
    for path in (*device.glob("*.py"), *(device / "audio").glob("*.py")):
        files[f"harken_device/{path.relative_to(device).as_posix()}"] = path.read_bytes()
    found = _told(_HOPS, settings, files)
    return {name: (found[name][0], found[name][1]) for name in states}


def _packed(models: Mapping[str, bytes]) -> dict[str, bytes]:
    return {f"{name}.hkm": model for name, model in models.items()}


def _told(script: str, settings: Mapping[str, object], files: Mapping[str, bytes]) -> Any:
    """The JSON that a script prints last on the emulated board."""
    command = _NATIVE / "on_qemu.py"
    if not command.is_file() or shutil.which("qemu-system-arm") is None:
        raise StartError(
            "instructions are counted in a checkout, on an emulated Cortex-M4F",
            hint="clone the repository and run `make setup`, which installs qemu-system-arm",
        )
    head = "".join(f"{name} = {value!r}\n" for name, value in settings.items())
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        given: list[str] = []
        for number, (name, data) in enumerate(files.items()):
            (folder / str(number)).write_bytes(data)
            given += ["--file", f"{name}={folder / str(number)}"]
        path = folder / "count.py"
        path.write_text(head + _COUNTER + script, encoding="utf-8")
        deadline = ["--deadline", str(_DEADLINE_S), "--arch", "armv7emsp"]
        told = _run([sys.executable, str(command), "--count", *deadline, *given, str(path)])
    return json.loads(told.strip().splitlines()[-1])


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_DEADLINE_S + 60, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise StartError(f"the emulated board took more than {_DEADLINE_S} s") from error
    if done.returncode != 0:
        why = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise StartError(f"the emulated board did not count: {' '.join(why[-3:])}")
    return done.stdout


def code_sizes() -> dict[str, int]:
    """Bytes of code and constants of each C file of the core, for a Cortex-M4F; by its name.

    Raises:
        StartError: the compiler is missing, or refuses a file.
    """
    if shutil.which(_COMPILER[0]) is None:
        raise StartError(
            f"{_COMPILER[0]} is not installed: code cannot be weighed",
            hint="apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi",
        )
    sizes: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as place:
        for source in sorted((_NATIVE / "core").glob("*.c")):
            if source.name == "module.c":
                continue
            compiled = Path(place) / f"{source.stem}.o"
            _run([*_COMPILER, str(source), "-o", str(compiled)])
            line = _run(["arm-none-eabi-size", str(compiled)]).splitlines()[1]
            sizes[source.stem] = int(line.split()[0])
    return sizes
