"""Models of several outputs run as in the reference; what cannot run is refused everywhere."""

from __future__ import annotations

import json
import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pytest

from harken.errors import ModelFormatError
from harken_models.core import Features, Model
from harken_models.pack import pack

from .every_build import NATIVE, VIPER
from .tflite_editor import EditableModel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from .conftest import Samples, TensorFlowLiteMicro

pytestmark = pytest.mark.integration

OUTPUTS = 40


@pytest.fixture
def alexa(tflite_models: Mapping[str, bytes]) -> EditableModel:
    return EditableModel(tflite_models["alexa"])


def with_outputs(edit: EditableModel, count: int) -> bytes:
    """The model with its last layer widened: as many answers, each of other weights."""
    rng = np.random.default_rng(2)
    (layer,), (sigmoid,) = edit.operators("FULLY_CONNECTED"), edit.operators("LOGISTIC")
    (quantize,) = edit.operators("QUANTIZE")
    weights, bias = (edit.tensor(number) for number in layer.inputs[1:])
    known = np.frombuffer(bytes(edit.data(weights).data), np.int8)
    every = np.clip(known + rng.integers(-12, 13, (count, known.size)), -127, 127).astype(np.int8)
    start = np.frombuffer(bytes(edit.data(bias).data), np.int32)[0]
    biases = (start + rng.integers(-20_000, 300_000, count)).astype(np.int32)
    weights.shape, bias.shape = np.array(every.shape, np.int32), np.array([count], np.int32)
    edit.data(weights).data = np.frombuffer(every.tobytes(), np.uint8)
    edit.data(bias).data = np.frombuffer(biases.tobytes(), np.uint8)
    for operator in (layer, sigmoid, quantize):
        edit.tensor(operator.outputs[0]).shape = np.array([1, count], np.int32)
    return edit.encoded()


def test_several_outputs_equal_the_reference(
    alexa: EditableModel,
    clip: Samples,
    tmp_path: Path,
    reference: Callable[[bytes], TensorFlowLiteMicro],
    run_script: Callable[..., str],
) -> None:
    model = with_outputs(alexa, OUTPUTS)
    rows = Features().run(clip)[:300]
    theirs = reference(model).outputs(rows)
    packed = pack(model)
    ours = Model(packed).run_outputs(rows)
    assert ours.shape == (100, OUTPUTS)
    assert np.array_equal(ours, theirs)
    assert len(np.unique(ours)) > 20
    (tmp_path / "model.hkm").write_bytes(packed)
    (tmp_path / "rows.raw").write_bytes(rows.tobytes())
    for imports in (NATIVE, VIPER):
        printed = run_script(
            f"""
{imports}
model, out, heard = Model(open({str(tmp_path / "model.hkm")!r}, "rb").read()), bytearray(50), []
rows = open({str(tmp_path / "rows.raw")!r}, "rb")
for _ in range({len(rows)}):
    first = model.step(rows.read(40))
    if first >= 0:
        assert model.outputs(out) == {OUTPUTS} and out[0] == first
        heard.append(list(out[:{OUTPUTS}]))
print(heard)
""",
            heap_kib=1024,
        )
        assert json.loads(printed) == theirs.tolist()


@pytest.mark.parametrize(
    "operator",
    ["ADD", "MUL", "SUB", "MEAN", "PAD", "AVERAGE_POOL_2D", "MAX_POOL_2D", "SOFTMAX", "DEQUANTIZE"],
)
def test_an_operator_that_the_engine_lacks_is_named(operator: str, alexa: EditableModel) -> None:
    alexa.rename("QUANTIZE", operator)
    with pytest.raises(ModelFormatError, match=f"it uses {operator}, which the engine") as caught:
        pack(alexa.encoded())
    assert caught.value.hint


def test_another_version_of_the_file_is_named(alexa: EditableModel) -> None:
    alexa.model.version = 4
    with pytest.raises(ModelFormatError, match="schema version 4") as caught:
        pack(alexa.encoded())
    assert caught.value.hint


def mended(data: bytearray) -> bytes:
    """With its checksum right again."""
    struct.pack_into("<I", data, 12, zlib.crc32(data[16:]))
    return bytes(data)


def wrong_models(packed: bytes) -> dict[str, bytes]:
    """Packed models that no device can run, and the words by which each is refused."""

    def changed(kind: str, at: int, value: int) -> bytes:
        data = bytearray(packed)
        struct.pack_into(kind, data, at, value)
        return mended(data)

    (operations,) = struct.unpack_from("<I", packed, 40)
    damaged = bytearray(packed)
    damaged[-1] ^= 1
    return {
        "another version": changed("<H", 4, 2),
        "no magic": changed("<I", 0, 0x324D4B48),
        "too large a state": changed("<I", 28, (1 << 20) + 4),
        "more outputs than state": changed("<I", 44, 1 << 19),
        "cut off": packed[:-4],
        "cut off in its header": packed[:40],
        "longer than it says": packed + bytes(4),
        "empty": b"",
        "damaged": bytes(damaged),
        "an operation outside the state": changed("<I", operations + 4, 1 << 19),
        "an unknown operation": changed("<B", operations, 9),
        "a flatbuffer": bytes(4) + b"TFL3" + bytes(60),
    }


def words_of(name: str) -> str:
    if "operation" in name:
        return "an operation that does not fit"
    return "its checksum is wrong" if name == "damaged" else "no packed model of a known version"


def test_wrong_models_are_refused_by_every_build(
    tflite_models: Mapping[str, bytes], tmp_path: Path, run_script: Callable[..., str]
) -> None:
    wrong = wrong_models(pack(tflite_models["hey_jarvis"]))
    for name, data in wrong.items():
        with pytest.raises(ValueError, match=words_of(name)):
            Model(data)
        (tmp_path / f"{name}.hkm").write_bytes(data)
    for imports in (NATIVE, VIPER):
        printed = run_script(
            f"""
import json
{imports}
told = {{}}
for name in {list(wrong)!r}:
    try:
        Model(open({str(tmp_path)!r} + "/" + name + ".hkm", "rb").read())
    except ValueError as error:
        told[name] = str(error)
print(json.dumps(told))
""",
            heap_kib=1024,
        )
        told = json.loads(printed)
        assert set(told) == set(wrong)
        assert all(words_of(name) in words for name, words in told.items()), told
