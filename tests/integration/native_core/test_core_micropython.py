"""The device's module: what it takes of the heap, what it refuses, and that its objects last."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from harken_models.core import Features, Model
from harken_models.pack import pack

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from .conftest import Samples

pytestmark = pytest.mark.integration

MEMORY = """
import gc, json
def used():
    gc.collect()
    return gc.mem_alloc()
start = used()
import harken_core
module = used()
features = harken_core.Features()
with_features = used()
model = open(MODEL, "rb").read()
before_wake = used()
wake = harken_core.Model(model)
with_wake = used()
vad = harken_core.Vad()
with_vad = used()
cleaner = harken_core.Cleaner()
with_cleaner = used()
gain, out, bands = harken_core.Gain(), bytearray(320), bytearray(40)
row, hop = bytearray(40), bytearray(b"\\x11\\x01\\x20\\xff" * 80)
def hops(count):
    for n in range(count):
        hop[n % 320] = n & 0x7f
        flags = cleaner.step(hop, None if n & 8 else out, out, hop)
        cleaner.gains(bands if flags & 1 else None)
        cleaner.noise_db()
        gain.step(out, 1, -40, out)
        vad.step(hop, -1)
        vad.level_db()
        if features.step(hop, row):
            wake.step(row)
            wake.outputs(row)
        harken_core.level(hop, out if n & 4 else None)
        harken_core.amplify(hop, 0, 32768, n, out)
        harken_core.mask(hop, 0, 320, KEY)
KEY = b"abcd"
hops(10)
gc.collect()
gc.disable()
before = gc.mem_alloc()
hops(1000)
grown = gc.mem_alloc() - before
print(json.dumps([module - start, with_features - module, with_wake - before_wake,
                  with_vad - with_wake, with_cleaner - with_vad, grown]))
"""


def test_a_hop_allocates_nothing(
    tflite_models: Mapping[str, bytes], tmp_path: Path, run_script: Callable[..., str]
) -> None:
    path = tmp_path / "okay_nabu.hkm"
    path.write_bytes(pack(tflite_models["okay_nabu"]))
    printed = run_script(f"MODEL = {str(path)!r}\n{MEMORY}")
    module, features, wake, vad, cleaner, grown = json.loads(printed)
    assert grown == 0
    # The figures of docs/reference/native-modules.md; the code itself is outside this heap here.
    assert module <= 2048
    assert features <= 2304
    assert wake <= 4224
    assert vad <= 256
    assert cleaner <= 56 * 1024


WITHOUT_NATIVE = """
import sys
sys.path = [folder for folder in sys.path if not folder.endswith("/x64")]
import harken_device.core as harken_core
from harken_device.viper.gain import Gain
harken_core.Gain = Gain
assert not harken_core.NATIVE
"""
REFUSED = """
import json
model = open(MODEL, "rb").read()
def refused(call):
    try:
        call()
    except (ValueError, TypeError, AttributeError) as error:
        return type(error).__name__
    return "taken"
features, vad, wake = harken_core.Features(), harken_core.Vad(), harken_core.Model(model)
cleaner, gain = harken_core.Cleaner(), harken_core.Gain()
short, row, hop, out = bytearray(39), bytearray(40), bytearray(320), bytearray(320)
odd = memoryview(bytearray(322))[1:]
grown = bytearray(model)
resized = harken_core.Model(grown)
grown.append(0)
print(json.dumps([refused(call) for call in (
    lambda: features.step(bytearray(318), row),
    lambda: features.step(hop, short),
    lambda: features.step(hop, bytes(40)),
    lambda: features.step(odd, row),
    lambda: features.step(7, row),
    lambda: harken_core.Features.step(vad, hop, row),
    lambda: wake.step(short),
    lambda: resized.step(row),
    lambda: resized.outputs(row),
    lambda: wake.outputs(bytearray(0)),
    lambda: wake.outputs(b"constant"),
    lambda: vad.step(hop, 256),
    lambda: vad.step(hop, -2),
    lambda: vad.step(hop),
    lambda: gain.step(hop, 2, -40, hop),
    lambda: gain.step(hop, 1, 1, hop),
    lambda: gain.step(hop, 1, -40, odd),
    lambda: gain.step(hop, 1, -40, bytes(320)),
    lambda: cleaner.step(short, None, hop, None),
    lambda: cleaner.step(hop, short, hop, None),
    lambda: cleaner.step(hop, None, bytes(320), None),
    lambda: cleaner.step(hop, None, hop, short),
    lambda: cleaner.step(hop, None, hop, odd),
    lambda: cleaner.step(hop, None, None, None),
    lambda: cleaner.step(hop, None, hop),
    lambda: cleaner.switch(32),
    lambda: cleaner.switch(-1),
    lambda: cleaner.gains(short),
    lambda: harken_core.Cleaner.step(gain, hop, None, hop, None),
    lambda: vad.step(bytes(10), -1),
    lambda: vad.tune(0, 100),
    lambda: vad.tune(9, 1 << 70),
    lambda: harken_core.level(short, None),
    lambda: harken_core.level(hop, short),
    lambda: harken_core.level(odd, None),
    lambda: harken_core.level(None, hop),
    lambda: harken_core.amplify(hop, 1, 0, 0, out),
    lambda: harken_core.amplify(hop, -1, 0, 0, out),
    lambda: harken_core.amplify(hop, 0, 32769, 0, out),
    lambda: harken_core.amplify(hop, 0, -1, 1, out),
    lambda: harken_core.amplify(hop, 0, 0, 32769, out),
    lambda: harken_core.amplify(hop, 0, 100, -1, out),
    lambda: harken_core.amplify(hop, 0, 0, 1 << 62, out),
    lambda: harken_core.amplify(hop, 0, 0, 0, short),
    lambda: harken_core.amplify(hop, 0, 0, 0, odd),
    lambda: harken_core.amplify(hop, 0, 0, 0, bytes(320)),
    lambda: harken_core.mask(hop, 0, 321, b"abcd"),
    lambda: harken_core.mask(hop, -1, 4, b"abcd"),
    lambda: harken_core.mask(hop, 300, 1 << 62, b"abcd"),
    lambda: harken_core.mask(hop, 0, 320, b"abc"),
    lambda: harken_core.mask(b"constant", 0, 4, b"abcd"),
    lambda: features.step(hop, memoryview(bytes(40))),
    lambda: harken_core.Model(b""),
    lambda: harken_core.Model(model[:-1]),
    lambda: harken_core.Model(memoryview(b"x" + model)[1:]),
    lambda: harken_core.Model(None),
    lambda: harken_core.Model(),
)]))
"""


@pytest.mark.parametrize("core", ["import harken_core\n", WITHOUT_NATIVE])
def test_wrong_arguments_are_refused(
    core: str,
    packed_alexa: Path,
    run_script: Callable[..., str],
) -> None:
    told = run_script(f"{core}MODEL = {str(packed_alexa)!r}\n{REFUSED}", heap_kib=1024)
    answers = json.loads(told)
    assert [n for n, answer in enumerate(answers) if answer == "taken"] == []


CORRUPT = """
import harken_core
model = bytearray(open(MODEL, "rb").read())
taken = []
state = 12345
for n in range(48 + 300):
    if n < 48:
        at = n
    else:
        state = (state * 1103515245 + 12345) & 0x7fffffff
        at = state % len(model)
    model[at] ^= 1 + n % 255
    try:
        harken_core.Model(model)
        taken.append(at)
    except ValueError:
        pass
    model[at] ^= 1 + n % 255
harken_core.Model(model)
print(taken)
"""


def test_a_corrupt_model_is_refused(packed_alexa: Path, run_script: Callable[..., str]) -> None:
    assert run_script(f"MODEL = {str(packed_alexa)!r}\n{CORRUPT}").strip() == "[]"


def test_objects_outlive_the_module_and_keep_their_model(
    packed_alexa: Path, clip: Samples, tmp_path: Path, run_script: Callable[..., str]
) -> None:
    packed = packed_alexa.read_bytes()
    rows = Features().run(clip)
    stream = tmp_path / "rows.raw"
    stream.write_bytes(rows.tobytes())
    printed = run_script(f"""
import gc, sys
import harken_core
wake = harken_core.Model(open({str(packed_alexa)!r}, "rb").read())
del harken_core, sys.modules["harken_core"]
heard = []
with open({str(stream)!r}, "rb") as stream:
    for n in range({len(rows)}):
        if n % 50 == 0:
            gc.collect()
            filler = [bytearray(997) for _ in range(60)]
            del filler
        probability = wake.step(stream.read(40))
        if probability >= 0:
            heard.append(probability)
print(heard)
""")
    assert json.loads(printed) == np.asarray(Model(packed).run(rows)).tolist()


# Reads MIC; what a board without native code does to it.
LEVELLED = """
import json
cleaner, hop, out, linear = harken_core.Cleaner(), bytearray(320), bytearray(320), bytearray(320)
heard, gains, same = bytearray(), [], True
with open(MIC, "rb") as mic:
    while mic.readinto(hop) == 320:
        cleaner.step(hop, None, out, linear)
        same = same and linear == hop
        heard.extend(out)
        gains.append(cleaner.gain_db())
cleaner.switch(15)
cleaner.step(hop, hop, out, None)
states = cleaner.erle_db(), cleaner.delay_ms(), cleaner.gain_db()
with open(OUT, "wb") as file:
    file.write(heard)
print(json.dumps([same, max(gains), out == hop, states]))
"""


def test_without_native_code_speech_is_brought_to_its_level(
    recording: Samples, tmp_path: Path, run_script: Callable[..., str]
) -> None:
    faint = recording[: 8 * 16000] // 8
    mic, out = tmp_path / "mic.raw", tmp_path / "out.raw"
    mic.write_bytes(faint.tobytes())
    given = f"MIC, OUT = {str(mic)!r}, {str(out)!r}\n"
    same, gain_db, passed, states = json.loads(
        run_script(f"{WITHOUT_NATIVE}{given}{LEVELLED}", heap_kib=2048)
    )
    assert same
    assert passed
    assert states == [0, 0, 0]
    louder = np.frombuffer(out.read_bytes(), np.int16).astype(float)
    # Of the last seconds, when the level is known.
    raised = 20 * np.log10(louder[-48_000:].std() / faint[-48_000:].std())
    assert 6 <= raised <= gain_db + 1 <= 25
