"""The int8 engine steps as TensorFlow Lite Micro does, on every published model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from harken_models.core import FEATURES, Features, Model
from harken_models.fixed_point import logistic_table
from harken_models.pack import pack

from .conftest import MODELS
from .tflite_editor import EditableModel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .conftest import Rows, Samples, TensorFlowLiteMicro

    Reference = Callable[[bytes], TensorFlowLiteMicro]

pytestmark = pytest.mark.integration

EVERY_MODEL = pytest.mark.parametrize("name", MODELS)
SPOKEN = ("alexa", "okay_nabu", "hey_jarvis", "hey_mycroft")


def differing(model: bytes, rows: Rows, reference: Reference) -> int:
    ours = Model(pack(model)).run(rows)
    theirs = np.array(reference(model).run(rows))
    assert len(ours) == len(theirs) == len(rows) // 3
    return int(np.count_nonzero(ours != theirs))


@EVERY_MODEL
def test_a_minute_of_human_speech(
    name: str, tflite_models: Mapping[str, bytes], recording: Samples, reference: Reference
) -> None:
    rows = Features().run(recording)
    assert len(rows) * 0.01 >= 60
    assert differing(tflite_models[name], rows, reference) == 0


@EVERY_MODEL
def test_all_wake_words(
    name: str, tflite_models: Mapping[str, bytes], clip: Samples, reference: Reference
) -> None:
    rows = Features().run(clip)
    assert differing(tflite_models[name], rows, reference) == 0


@EVERY_MODEL
def test_features_no_voice_would_make(
    name: str, tflite_models: Mapping[str, bytes], reference: Reference
) -> None:
    rng = np.random.default_rng(5)
    noise = rng.integers(-128, 128, (900, FEATURES)).astype(np.int8)
    corners = rng.choice(np.array([-128, 127], np.int8), (900, FEATURES))
    assert differing(tflite_models[name], np.concatenate([noise, corners]), reference) == 0


def test_each_model_hears_its_own_word_and_no_other(
    tflite_models: Mapping[str, bytes], clip: Samples
) -> None:
    rows = Features().run(clip)
    fired = {
        name: np.nonzero(Model(pack(tflite_models[name])).run(rows) > 240)[0] for name in SPOKEN
    }
    # The words lie one after another, so the steps in which they are heard do, too.
    ends = [(int(fired[name].min()), int(fired[name].max())) for name in SPOKEN]
    assert all(ends[i][1] < ends[i + 1][0] for i in range(len(ends) - 1))


@EVERY_MODEL
def test_a_reset_model_is_as_new(
    name: str, tflite_models: Mapping[str, bytes], clip: Samples
) -> None:
    rows = Features().run(clip)
    wake = Model(pack(tflite_models[name]))
    first = wake.run(rows[:-2])
    wake.reset()
    assert np.array_equal(wake.run(rows[:-2]), first)


def test_models_beside_each_other_share_nothing(
    tflite_models: Mapping[str, bytes], clip: Samples
) -> None:
    rows = Features().run(clip)
    packed = pack(tflite_models["alexa"])
    alone = Model(packed).run(rows)
    one, other = Model(packed), Model(packed)
    steps: list[int] = []
    for row in rows:
        steps.append(one.step(row.tobytes()))
        other.step(row[::-1].tobytes())
    assert [step for step in steps if step >= 0] == alone.tolist()


@pytest.mark.parametrize("name", ["alexa", "okay_nabu"])
def test_the_sigmoid_of_every_int8(
    name: str, tflite_models: Mapping[str, bytes], reference: Reference
) -> None:
    """The last layer's bias moved, so that the reference meets all that the table holds."""
    edited = _LastLayer(tflite_models[name])
    scale, zero_point = edited.logit_quantization()
    table = logistic_table(scale, zero_point)
    row = np.full((3, FEATURES), -128, np.int8)
    met: set[int] = set()
    # Steps smaller than those of the logit, over twice its range to either side.
    for step in range(-370, 370):
        bias = round(step * 0.7 / edited.logits_per_sum())
        model = edited.with_last_bias(bias)
        ours, theirs = Model(pack(model)).run(row), reference(model).run(row)
        assert ours.tolist() == theirs, f"bias {bias}"
        met.add(theirs[0])
    assert met == {(value + 128) & 0xFF for value in table}


class _LastLayer:
    """A model whose last fully connected layer can be given another bias."""

    def __init__(self, model: bytes) -> None:
        self._editor = EditableModel(model)
        self._layer = self._editor.operators("FULLY_CONNECTED")[0]

    def logit_quantization(self) -> tuple[float, int]:
        found = self._editor.tensor(self._layer.outputs[0]).quantization
        return float(found.scale[0]), int(found.zeroPoint[0])

    def logits_per_sum(self) -> float:
        """Steps of the logit for one step of the layer's sum."""
        numbers = (self._layer.inputs[0], self._layer.inputs[1], self._layer.outputs[0])
        source, weights, logit = (
            self._editor.tensor(number).quantization.scale[0] for number in numbers
        )
        return float(source * weights / logit)

    def with_last_bias(self, bias: int) -> bytes:
        buffer = self._editor.data(self._editor.tensor(self._layer.inputs[2]))
        buffer.data = np.frombuffer(bias.to_bytes(4, "little", signed=True), np.uint8)
        return self._editor.encoded()
