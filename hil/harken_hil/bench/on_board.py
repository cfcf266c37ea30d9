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

__all__ = ["BoardCounts", "code_sizes", "count_on_board"]

_ROOT: Final = Path(harken_device.__file__).parent.parent.parent
_NATIVE: Final = _ROOT / "firmware/native"
# Building MicroPython for the emulated board comes first where it was never done.
_DEADLINE_S: Final = 540
_COMPILER: Final = ("arm-none-eabi-gcc", "-mthumb", "-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16",
                    "-mfloat-abi=hard", "-O2", "-ffp-contract=off", "-c")  # fmt: skip

_SCRIPT: Final = """
import gc, harken_core, harken_opus, json, machine
memory = machine.mem32
memory[0xE000E014] = 0xFFFFFF
memory[0xE000E018] = 0
memory[0xE000E010] = 5

def now():
    return memory[0xE000E018]

def spent(start):
    return (start - memory[0xE000E018]) & 0xFFFFFF

def used():
    gc.collect()
    return gc.mem_alloc()

def built(make):
    start = used()
    thing = make()
    return thing, used() - start

def blob(name):
    return open("/files/" + name, "rb").read()

counts, ram = {}, {}
mic, played = blob("mic.raw"), blob("played.raw")
hops = len(mic) // 320

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
view, heard = memoryview(mic), memoryview(played)
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
    command = _NATIVE / "on_qemu.py"
    if not command.is_file() or shutil.which("qemu-system-arm") is None:
        raise StartError(
            "instructions are counted in a checkout, on an emulated Cortex-M4F",
            hint="clone the repository and run `make setup`, which installs qemu-system-arm",
        )
    settings = {
        "PARTS": [(name, parts, reference) for name, (parts, reference) in cleaners.items()],
        "MODELS": list(models),
        "FIRST": first,
        "COMPLEXITY": complexity,
    }
    head = "".join(f"{name} = {value!r}\n" for name, value in settings.items())
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        files = {"mic.raw": mic, "played.raw": played}
        files |= {f"{name}.hkm": model for name, model in models.items()}
        for name, data in files.items():
            (folder / name).write_bytes(data)
        script = folder / "count.py"
        script.write_text(head + _SCRIPT, encoding="utf-8")
        given = [part for name in files for part in ("--file", str(folder / name))]
        deadline = ["--deadline", str(_DEADLINE_S), "--arch", "armv7emsp"]
        told = _run([sys.executable, str(command), "--count", *deadline, *given, str(script)])
    found: dict[str, Any] = json.loads(told.strip().splitlines()[-1])
    counts: dict[str, list[int]] = found["counts"]
    return BoardCounts(
        {name: pair[0] for name, pair in counts.items()},
        {name: pair[1] for name, pair in counts.items()},
        found["ram"],
    )


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
