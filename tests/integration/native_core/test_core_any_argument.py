"""Whatever a script passes to the module: it is refused, or only what it names is written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.integration

CALLS = 6000
# Buffers are windows of one piece of memory: of any length, at any address, one over the other.
# After every call all of it is looked at.
SCRIPT = """
import array, gc, harken_core, json

state = SEED
def chance(below):
    global state
    state = (state * 1103515245 + 12345) & 0x3fffffff
    return (state >> 8) % below

arena = bytearray(1500)
for n in range(len(arena)):
    arena[n] = chance(256)
whole = memoryview(arena)
model = open(MODEL, "rb").read()

class Window:
    def __init__(self):
        self.size = (0, 1, 4, 39, 40, 41, 64, 318, 319, 320, 321, 322, 640)[chance(13)]
        self.start = chance(len(arena) - self.size + 1)
        if chance(2):
            self.start &= ~1
        self.view = whole[self.start : self.start + self.size]

def fit():
    window = Window()
    while window.size < 320 or window.start & 1:
        window = Window()
    return window

def something():
    kind = chance(12)
    if kind < 7:
        return Window()
    if kind == 7:
        return None
    if kind == 8:
        return (0, 1, -1, 2, 31, 32, 40, 160, 255, 256, -200, 320, 65535)[chance(13)]
    return (1 << 70, -(1 << 64), 2.5, "text", b"abcd", bytes(40), bytes(320), (), [], {}, object(),
            len, True, array.array("h", range(160)), array.array("d", [1.0] * 40), harken_core,
            features, harken_core.Vad, range(9))[chance(19)]

def renewed():
    return (harken_core.Features(), harken_core.Vad(), harken_core.Gain(), harken_core.Cleaner(),
            harken_core.Model(model))

# Type, method, how many arguments, which of them it writes and how many bytes.
METHODS = (
    ("Features", "step", 2, {1: 40}), ("Features", "reset", 0, {}),
    ("Vad", "step", 2, {}), ("Vad", "tune", 2, {}), ("Vad", "level_db", 0, {}),
    ("Vad", "floor_db", 0, {}), ("Vad", "reset", 0, {}),
    ("Gain", "step", 4, {3: 320}), ("Gain", "gain_db", 0, {}), ("Gain", "reset", 0, {}),
    ("Cleaner", "step", 4, {2: 320, 3: 320}), ("Cleaner", "step", 4, {2: 320, 3: 320}),
    ("Cleaner", "step", 4, {2: 320, 3: 320}), ("Cleaner", "switch", 1, {}),
    ("Cleaner", "gains", 1, {}), ("Cleaner", "erle_db", 0, {}), ("Cleaner", "delay_ms", 0, {}),
    ("Cleaner", "noise_db", 0, {}), ("Cleaner", "gain_db", 0, {}), ("Cleaner", "reset", 0, {}),
    ("Model", "step", 1, {}), ("Model", "outputs", 1, {0: 1}), ("Model", "stride", 0, {}),
    ("Model", "reset", 0, {}),
)
NAMES = ("Features", "Vad", "Gain", "Cleaner", "Model")
things = renewed()
features = things[0]
told = {"taken": [], "refused": 0, "spoilt": []}

def call(function, given, writes, label):
    before = bytes(arena)
    try:
        function(*[each.view if isinstance(each, Window) else each for each in given])
        if label not in told["taken"]:
            told["taken"].append(label)
    except (ValueError, TypeError, AttributeError, OverflowError):
        told["refused"] += 1
        writes = ()
    now = bytes(arena)
    at = 0
    for start, end in sorted(writes):
        if start > at and now[at:start] != before[at:start]:
            told["spoilt"].append(label)
        at = max(at, end)
    if now[at:] != before[at:]:
        told["spoilt"].append(label)

for n in range(CALLS):
    if n % 500 == 0:
        things = None
        gc.collect()
        things = renewed()
    if chance(8) == 0:
        given = [something() for _ in range(4 if chance(8) else chance(6))]
        writes = []
        if len(given) == 4 and isinstance(given[0], Window):
            given[1], given[2] = chance(700) - 20, chance(700) - 20
            if chance(2):
                given[3] = b"\\x01\\x80\\xff\\x37"
            first = given[0].start + given[1]
            writes = [(first, first + given[2])] if given[2] >= 0 else []
        call(harken_core.mask, given, writes, "mask")
        continue
    if chance(12) == 0:
        given = [something() for _ in range(2 if chance(8) else chance(6))]
        call(harken_core.level, given, (), "level")
        continue
    if chance(12) == 0:
        given = [something() for _ in range(5 if chance(8) else chance(6))]
        writes = []
        if len(given) == 5 and chance(2):
            given[0], given[4] = fit(), fit()
        if len(given) == 5 and isinstance(given[4], Window):
            given[1] = chance(20) - 5 if chance(2) else 0
            given[2], given[3] = chance(33000) - 100, chance(33000) - 100
            writes = [(given[4].start, given[4].start + 320)]
        call(harken_core.amplify, given, writes, "amplify")
        continue
    if chance(40) == 0:
        name = NAMES[chance(5)]
        given = [something() for _ in range(chance(3))]
        call(getattr(harken_core, name), given, (), name)
        continue
    name, method, count, written = METHODS[chance(len(METHODS))]
    function = getattr(getattr(harken_core, name), method)
    given = [something() for _ in range(count if chance(8) else chance(6))]
    if method == "step" and chance(2):
        # Most of what chance gives is refused: half of the calls are nearly right.
        for at in range(len(given)):
            given[at] = fit()
        if name == "Gain" and len(given) == 4:
            given[1], given[2] = chance(2), -chance(201)
        if name == "Vad" and len(given) == 2:
            given[1] = chance(257) - 1
        if name == "Cleaner" and given and chance(3) == 0:
            given[chance(len(given))] = None
    writes = [
        (given[at].start, given[at].start + size)
        for at, size in written.items()
        if at < len(given) and isinstance(given[at], Window)
    ]
    thing = things[NAMES.index(name)] if chance(20) else something()
    if isinstance(thing, Window):
        thing = thing.view
    call(function, [thing] + given, writes, name + "." + method)
print(json.dumps(told))
"""


@pytest.mark.parametrize("seed", [3, 77])
def test_any_arguments(
    seed: int,
    packed_alexa: Path,
    run_script: Callable[..., str],
) -> None:
    given = f"MODEL, SEED, CALLS = {str(packed_alexa)!r}, {seed}, {CALLS}"
    told = json.loads(run_script(f"{given}\n{SCRIPT}", heap_kib=1024))
    assert told["spoilt"] == []
    assert told["refused"] > CALLS // 10
    # Every call was taken at least once: what is refused throughout would not have been tried.
    steps = {"Features.step", "Vad.step", "Gain.step", "Cleaner.step", "Model.step"}
    calls = {"Model.outputs", "Cleaner.gains", "Cleaner.switch", "level", "amplify", "mask"}
    assert steps | calls <= {*told["taken"]}
