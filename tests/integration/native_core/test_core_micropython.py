"""The device's module gives byte for byte what the shared library gives; a hop takes no memory."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from harken_models.core import HOP, Features, Model, Vad, mask
from harken_models.pack import pack

from .conftest import MODELS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from .conftest import Samples

pytestmark = pytest.mark.integration

# Reads FOLDER/clip.raw and FOLDER/*.hkm; prints one digest for each kind of result.
SAME = """
import hashlib, harken_core, json

def digest(data):
    return "".join("%02x" % b for b in hashlib.sha256(data).digest())

features, vad, row, hop = harken_core.Features(), harken_core.Vad(), bytearray(40), bytearray(320)
vad.tune(8, 200)
wakes = {name: harken_core.Model(open(FOLDER + name + ".hkm", "rb").read()) for name in NAMES}
rows, heard, voice = bytearray(), {name: bytearray() for name in NAMES}, bytearray()
clip = open(FOLDER + "clip.raw", "rb")
for _ in range(HOPS):
    clip.readinto(hop)
    voice.extend(bytes((vad.step(hop, -1), -vad.level_db(), -vad.floor_db())))
    if features.step(hop, row):
        rows.extend(row)
        for name, wake in wakes.items():
            probability = wake.step(row)
            if probability >= 0:
                heard[name].append(probability)
masked = bytearray(range(256))
harken_core.mask(masked, 3, 250, b"\\x01\\x80\\xff\\x37")
results = {"rows": rows, "voice": voice, "masked": masked}
results.update(heard)
print(json.dumps({name: digest(data) for name, data in results.items()}))
"""


def ours(models: Mapping[str, bytes], pcm: Samples) -> dict[str, str]:
    """The same digests, from the shared library."""
    rows = Features().run(pcm)
    vad, voice = Vad(), bytearray()
    vad.tune(8, 200)
    for hop in pcm.reshape(-1, HOP):
        voice += bytes((vad.step(hop.tobytes(), -1), -vad.level_db(), -vad.floor_db()))
    masked = bytearray(range(256))
    mask(masked, 3, 250, b"\x01\x80\xff\x37")
    results = {"rows": rows.tobytes(), "voice": bytes(voice), "masked": bytes(masked)}
    results |= {name: Model(model).run(rows).tobytes() for name, model in models.items()}
    return {name: hashlib.sha256(data).hexdigest() for name, data in results.items()}


def lay_out(folder: Path, models: Mapping[str, bytes], pcm: Samples) -> list[Path]:
    files = [folder / "clip.raw", *(folder / f"{name}.hkm" for name in models)]
    for path, data in zip(files, [pcm.tobytes(), *models.values()], strict=True):
        path.write_bytes(data)
    return files


def script(folder: str, models: Mapping[str, bytes], pcm: Samples) -> str:
    names = json.dumps(list(models))
    return f"FOLDER, NAMES, HOPS = {folder!r}, {names}, {pcm.size // HOP}\n{SAME}"


@pytest.mark.parametrize("name", MODELS)
def test_the_same_in_micropython(
    name: str,
    tflite_models: Mapping[str, bytes],
    clip: Samples,
    tmp_path: Path,
    run_script: Callable[..., str],
) -> None:
    models = {name: pack(tflite_models[name])}
    lay_out(tmp_path, models, clip)
    printed = run_script(script(f"{tmp_path}/", models, clip))
    assert json.loads(printed) == ours(models, clip)


# The first of these builds MicroPython for the emulated board, which takes half a minute.
@pytest.mark.native
@pytest.mark.timeout(400)
@pytest.mark.parametrize("architecture", ["armv6m", "armv7emsp"])
def test_the_same_on_arm(
    architecture: str,
    tflite_models: Mapping[str, bytes],
    clip: Samples,
    tmp_path: Path,
    run_on_board: Callable[..., str],
) -> None:
    models = {name: pack(model) for name, model in tflite_models.items()}
    pcm = clip[: 3 * 16000]
    files = lay_out(tmp_path, models, pcm)
    printed = run_on_board(script("/files/", models, pcm), architecture, *files)
    assert json.loads(printed) == ours(models, pcm)


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
row, hop = bytearray(40), bytearray(b"\\x11\\x01\\x20\\xff" * 80)
def hops(count):
    for n in range(count):
        hop[n % 320] = n & 0x7f
        vad.step(hop, -1)
        vad.level_db()
        if features.step(hop, row):
            wake.step(row)
        harken_core.mask(hop, 0, 320, KEY)
KEY = b"abcd"
hops(10)
gc.collect()
gc.disable()
before = gc.mem_alloc()
hops(1000)
grown = gc.mem_alloc() - before
print(json.dumps([module - start, with_features - module, with_wake - before_wake,
                  with_vad - with_wake, grown]))
"""


def test_a_hop_allocates_nothing(
    tflite_models: Mapping[str, bytes], tmp_path: Path, run_script: Callable[..., str]
) -> None:
    path = tmp_path / "okay_nabu.hkm"
    path.write_bytes(pack(tflite_models["okay_nabu"]))
    printed = run_script(f"MODEL = {str(path)!r}\n{MEMORY}")
    module, features, wake, vad, grown = json.loads(printed)
    assert grown == 0
    # The figures of docs/reference/native-modules.md; the code itself is outside this heap here.
    assert module <= 2048
    assert features <= 2304
    assert wake <= 4224
    assert vad <= 256


REFUSED = """
import harken_core, json
model = open(MODEL, "rb").read()
def refused(call):
    try:
        call()
    except (ValueError, TypeError) as error:
        return type(error).__name__
    return "taken"
features, vad, wake = harken_core.Features(), harken_core.Vad(), harken_core.Model(model)
short, row, hop = bytearray(39), bytearray(40), bytearray(320)
grown = bytearray(model)
resized = harken_core.Model(grown)
grown.append(0)
print(json.dumps([refused(call) for call in (
    lambda: features.step(bytearray(318), row),
    lambda: features.step(hop, short),
    lambda: features.step(hop, bytes(40)),
    lambda: features.step(memoryview(bytearray(322))[1:], row),
    lambda: features.step(7, row),
    lambda: harken_core.Features.step(vad, hop, row),
    lambda: wake.step(short),
    lambda: resized.step(row),
    lambda: vad.step(bytes(10), -1),
    lambda: vad.tune(0, 100),
    lambda: vad.tune(9, 1 << 70),
    lambda: harken_core.mask(hop, 0, 321, b"abcd"),
    lambda: harken_core.mask(hop, -1, 4, b"abcd"),
    lambda: harken_core.mask(hop, 300, 1 << 62, b"abcd"),
    lambda: harken_core.mask(hop, 0, 320, b"abc"),
    lambda: harken_core.mask(b"constant", 0, 4, b"abcd"),
    lambda: harken_core.Model(b""),
    lambda: harken_core.Model(model[:-1]),
    lambda: harken_core.Model(memoryview(b"x" + model)[1:]),
    lambda: harken_core.Model(None),
    lambda: harken_core.Model(),
)]))
"""


def test_wrong_arguments_are_refused(
    tflite_models: Mapping[str, bytes], tmp_path: Path, run_script: Callable[..., str]
) -> None:
    path = tmp_path / "alexa.hkm"
    path.write_bytes(pack(tflite_models["alexa"]))
    answers = json.loads(run_script(f"MODEL = {str(path)!r}\n{REFUSED}"))
    assert "taken" not in answers


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


def test_a_corrupt_model_is_refused(
    tflite_models: Mapping[str, bytes], tmp_path: Path, run_script: Callable[..., str]
) -> None:
    path = tmp_path / "alexa.hkm"
    path.write_bytes(pack(tflite_models["alexa"]))
    assert run_script(f"MODEL = {str(path)!r}\n{CORRUPT}").strip() == "[]"


def test_objects_outlive_the_module_and_keep_their_model(
    tflite_models: Mapping[str, bytes],
    clip: Samples,
    tmp_path: Path,
    run_script: Callable[..., str],
) -> None:
    packed = pack(tflite_models["alexa"])
    rows = Features().run(clip)
    path, stream = tmp_path / "alexa.hkm", tmp_path / "rows.raw"
    path.write_bytes(packed)
    stream.write_bytes(rows.tobytes())
    printed = run_script(f"""
import gc, sys
import harken_core
wake = harken_core.Model(open({str(path)!r}, "rb").read())
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
