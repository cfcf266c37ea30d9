"""What the engine cannot run is refused when it is packed, and the refusal says why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from click.testing import CliRunner

from harken.errors import ModelError, ModelFormatError, ModelMissingError
from harken_models.cli import models
from harken_models.core import FEATURES, Features, Model
from harken_models.pack import pack, pack_file

from .tflite_editor import EditableModel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .conftest import Samples, TensorFlowLiteMicro

pytestmark = pytest.mark.integration


@pytest.fixture
def alexa(tflite_models: Mapping[str, bytes]) -> EditableModel:
    return EditableModel(tflite_models["alexa"])


def test_an_edited_model_is_what_it_was(
    alexa: EditableModel, tflite_models: Mapping[str, bytes]
) -> None:
    assert pack(alexa.encoded()) == pack(tflite_models["alexa"])


def input_of_another_scale(edit: EditableModel) -> None:
    edit.tensor(edit.graph.inputs[0]).quantization.scale = [0.05]


def float_input(edit: EditableModel) -> None:
    edit.tensor(edit.graph.inputs[0]).type = edit.schema.TensorType.FLOAT32


def two_outputs(edit: EditableModel) -> None:
    edit.graph.outputs = [*edit.graph.outputs, edit.operators("LOGISTIC")[0].outputs[0]]


def unknown_operator(edit: EditableModel) -> None:
    edit.rename("LOGISTIC", "TANH")


def padded_convolution(edit: EditableModel) -> None:
    edit.operators("CONV_2D")[0].builtinOptions.padding = edit.schema.Padding.SAME


def leaky_activation(edit: EditableModel) -> None:
    options = edit.operators("CONV_2D")[0].builtinOptions
    options.fusedActivationFunction = edit.schema.ActivationFunctionType.TANH


def asymmetric_weights(edit: EditableModel) -> None:
    weights = edit.tensor(edit.operators("CONV_2D")[0].inputs[1])
    weights.quantization.zeroPoint = [3] * len(weights.quantization.zeroPoint)


def too_few_scales(edit: EditableModel) -> None:
    weights = edit.tensor(edit.operators("CONV_2D")[0].inputs[1])
    weights.quantization.scale = weights.quantization.scale[:7]


def short_weights(edit: EditableModel) -> None:
    buffer = edit.data(edit.tensor(edit.operators("CONV_2D")[0].inputs[1]))
    buffer.data = buffer.data[:-1]


def slice_that_keeps_the_oldest(edit: EditableModel) -> None:
    begin = edit.tensor(edit.operators("STRIDED_SLICE")[0].inputs[1])
    edit.data(begin).data = np.zeros(16, np.uint8)


def state_that_is_not_written(edit: EditableModel) -> None:
    written = edit.operators("ASSIGN_VARIABLE")[0]
    edit.graph.operators = [each for each in edit.graph.operators if each is not written]


def state_of_mixed_values(edit: EditableModel) -> None:
    start = edit.model.subgraphs[1]
    largest = max((tensor for tensor in start.tensors), key=lambda each: len(_bytes(edit, each)))
    data = np.array(_bytes(edit, largest), np.uint8)
    data[0] ^= 1
    edit.data(largest).data = data


def joined_scales_that_differ(edit: EditableModel) -> None:
    edit.tensor(edit.operators("CONCATENATION")[1].outputs[0]).quantization.scale = [0.5]


def coarse_probability(edit: EditableModel) -> None:
    edit.tensor(edit.operators("LOGISTIC")[0].outputs[0]).quantization.scale = [1 / 128]


def _bytes(edit: EditableModel, tensor: Any) -> Any:
    data = edit.data(tensor).data
    return [] if data is None else data


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (input_of_another_scale, "its input has scale 0.05"),
        (float_input, "its input is float32"),
        (two_outputs, "one input and one output"),
        (unknown_operator, "which the engine does not have"),
        (padded_convolution, "CONV_2D with padding"),
        (leaky_activation, "CONV_2D with fused activation"),
        (asymmetric_weights, "not symmetric"),
        (too_few_scales, "7 scales for 32 outputs"),
        (short_weights, "do not fit together"),
        (slice_that_keeps_the_oldest, "STRIDED_SLICE"),
        (state_that_is_not_written, "never written"),
        (state_of_mixed_values, "does not start with one value"),
        (joined_scales_that_differ, "CONCATENATION of parts that do not fit"),
        (coarse_probability, "LOGISTIC"),
    ],
)
def test_refusals_say_why(
    spoil: Callable[[EditableModel], None], says: str, alexa: EditableModel
) -> None:
    spoil(alexa)
    with pytest.raises(ModelFormatError, match=says) as caught:
        pack(alexa.encoded())
    assert caught.value.hint


@pytest.mark.parametrize("wrong", [b"", b"TFL3", bytes(8), b"\0\0\0\0TFL3", bytes(5000)])
def test_what_is_no_tflite_is_refused(wrong: bytes) -> None:
    with pytest.raises(ModelFormatError):
        pack(wrong)


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
def test_a_cut_off_file_is_refused(kept: float, tflite_models: Mapping[str, bytes]) -> None:
    model = tflite_models["okay_nabu"]
    with pytest.raises(ModelFormatError, match="is cut off: it has") as caught:
        pack(model[: int(kept * len(model))])
    assert caught.value.hint


def test_an_int8_output_is_packed_as_well(
    alexa: EditableModel,
    tflite_models: Mapping[str, bytes],
    reference: Callable[[bytes], TensorFlowLiteMicro],
) -> None:
    """The same model without its last QUANTIZE: microWakeWord trains some so."""
    alexa.graph.outputs = [alexa.operators("LOGISTIC")[0].outputs[0]]
    quantize = alexa.operators("QUANTIZE")[0]
    alexa.graph.operators = [each for each in alexa.graph.operators if each is not quantize]
    rows = np.random.default_rng(3).integers(-128, 128, (600, FEATURES)).astype(np.int8)
    model = alexa.encoded()
    ours = Model(pack(model)).run(rows).tolist()
    assert ours == Model(pack(tflite_models["alexa"])).run(rows).tolist()
    assert ours == [probability + 128 for probability in reference(model).run(rows)]


@pytest.mark.parametrize("activation", ["NONE", "RELU6", "RELU_N1_TO_1"])
def test_activations_are_clamped_as_the_reference_clamps(
    activation: str,
    alexa: EditableModel,
    clip: Samples,
    reference: Callable[[bytes], TensorFlowLiteMicro],
) -> None:
    last = alexa.operators("CONV_2D")[-1]
    last.builtinOptions.fusedActivationFunction = getattr(
        alexa.schema.ActivationFunctionType, activation
    )
    # A zero point inside the range, so that both bounds are there to be met.
    joined = alexa.operators("CONCATENATION")[-1]
    moved = alexa.tensor(last.outputs[0]).quantization.scale[0]
    for tensor in alexa.graph.tensors:
        if tensor.quantization.scale is not None and moved in tensor.quantization.scale:
            tensor.quantization.zeroPoint = [-60]
    assert alexa.tensor(joined.outputs[0]).quantization.zeroPoint == [-60]
    rows = Features().run(clip)
    model = alexa.encoded()
    theirs = reference(model).run(rows)
    assert Model(pack(model)).run(rows).tolist() == theirs
    assert len(set(theirs)) > 3


MICRO = {"probability_cutoff": 0.9, "sliding_window_size": 5, "feature_step_size": 10}
MANIFEST = {
    "type": "micro",
    "wake_word": "Alexa",
    "model": "alexa.tflite",
    "version": 2,
    "micro": MICRO,
}


@pytest.fixture
def published(tflite_models: Mapping[str, bytes], tmp_path: Path) -> Path:
    """A model with its manifest beside it."""
    model = tmp_path / "source" / "alexa.tflite"
    model.parent.mkdir()
    model.write_bytes(tflite_models["alexa"])
    model.with_suffix(".json").write_text(json.dumps(MANIFEST, indent=4))
    return model


def test_a_file_is_packed_with_its_manifest(published: Path, tmp_path: Path) -> None:
    target = tmp_path / "not" / "there yet"
    told = CliRunner().invoke(models, ["pack", str(published), str(target)])
    assert told.exit_code == 0, told.output
    packed = Path(told.output.strip())
    assert packed == target / "alexa.hkm"
    assert packed.read_bytes() == pack(published.read_bytes())
    beside = packed.with_suffix(".json")
    assert beside.read_bytes() == published.with_suffix(".json").read_bytes()


@pytest.mark.parametrize("through_a_link", [False, True])
def test_what_is_packed_beside_the_model_leaves_its_files_as_they_were(
    through_a_link: bool, published: Path, tmp_path: Path
) -> None:
    before = {path: path.read_bytes() for path in published.parent.iterdir()}
    folder = published.parent
    if through_a_link:
        folder = tmp_path / "link"
        folder.symlink_to(published.parent, target_is_directory=True)
    packed = pack_file(published, folder)
    assert packed.read_bytes() == pack(published.read_bytes())
    assert {path: path.read_bytes() for path in before} == before


def test_what_is_missing_is_named(published: Path, tmp_path: Path) -> None:
    published.with_suffix(".json").unlink()
    with pytest.raises(ModelMissingError, match=r"alexa\.json"):
        pack_file(published, tmp_path)
    with pytest.raises(ModelMissingError, match=r"no\.tflite"):
        pack_file(tmp_path / "no.tflite", tmp_path)


def test_a_model_of_another_name_is_not_written_over(published: Path) -> None:
    named = published.rename(published.with_suffix(".hkm"))
    before = named.read_bytes()
    with pytest.raises(ModelFormatError, match=r"no \.tflite") as caught:
        pack_file(named, named.parent)
    assert caught.value.hint
    assert named.read_bytes() == before


def test_a_folder_that_cannot_be_made_is_named(published: Path) -> None:
    with pytest.raises(ModelError, match="cannot be written") as caught:
        pack_file(published, published / "inside")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        ("[]", "not a microWakeWord manifest"),
        ("{", "no JSON"),
        ('"\xff"', "no JSON"),
        ("{}", "not a microWakeWord manifest"),
        ({**MANIFEST, "version": 1}, "version 1"),
        ({**MANIFEST, "type": "openwakeword"}, "type 'openwakeword'"),
        ({**MANIFEST, "wake_word": None}, "wake_word should be a text"),
        ({**MANIFEST, "micro": {}}, "probability_cutoff, sliding_window_size"),
        ({**MANIFEST, "micro": {**MICRO, "probability_cutoff": "high"}}, "should be a number"),
        ({**MANIFEST, "micro": {**MICRO, "sliding_window_size": True}}, "should be a number"),
        ({**MANIFEST, "micro": {**MICRO, "probability_cutoff": 7}}, "probability_cutoff is 7"),
        ({**MANIFEST, "micro": {**MICRO, "probability_cutoff": 0}}, "probability_cutoff is 0"),
        ({**MANIFEST, "micro": {**MICRO, "probability_cutoff": float("nan")}}, "is nan"),
        ({**MANIFEST, "micro": {**MICRO, "sliding_window_size": 0}}, "sliding_window_size is 0"),
        ({**MANIFEST, "micro": {**MICRO, "sliding_window_size": 65}}, "sliding_window_size is 65"),
        ({**MANIFEST, "micro": {**MICRO, "sliding_window_size": 2.5}}, "sliding_window_size is 2"),
        ({**MANIFEST, "micro": {**MICRO, "feature_step_size": 20}}, "feature_step_size is 20"),
        ({**MANIFEST, "author": "x" * 4096}, "bytes, the device reads at most 4096"),
    ],
)
def test_a_manifest_that_the_device_refuses_is_refused(
    manifest: Any, says: str, published: Path, tmp_path: Path
) -> None:
    text = manifest if isinstance(manifest, str) else json.dumps(manifest)
    published.with_suffix(".json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ModelFormatError, match=says) as caught:
        pack_file(published, tmp_path / "target")
    assert "alexa.json" in str(caught.value)
    assert caught.value.hint
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize(("cutoff", "window"), [(1, 64), (0.001, 1), (0.97, 5.0)])
def test_what_the_device_takes_is_taken(
    cutoff: float, window: float, published: Path, tmp_path: Path
) -> None:
    micro = {**MICRO, "probability_cutoff": cutoff, "sliding_window_size": window}
    published.with_suffix(".json").write_text(json.dumps({**MANIFEST, "micro": micro}))
    assert pack_file(published, tmp_path).exists()
