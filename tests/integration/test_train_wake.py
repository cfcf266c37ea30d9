"""A miniature wake word from phrase to card, as a program of its own: TensorFlow warns a lot."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

from harken_models.core import Model
from harken_models.pack import pack, pack_file

if TYPE_CHECKING:
    from pathlib import Path

_NEEDS = {
    "tensorflow": "pip install --group train",
    "tflite_micro": "pip install --group train",
    "matplotlib": "pip install --group train",
}
_MISSING = [f"{name}: {how}" for name, how in _NEEDS.items() if find_spec(name) is None]
_PROGRESS = re.compile(
    r"only \d+ voices are installed.*|[a-z0-9 -]+: (done before|\d+ s|\d+ of \d+.*)"
)
_MISSING += [
    f"{name}: apt-get install {name}"
    for name in ("espeak-ng", "flite", "ffmpeg")
    if shutil.which(name) is None
]

pytestmark = [
    pytest.mark.train,
    pytest.mark.integration,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(_MISSING), reason="; ".join(_MISSING)),
]

_NETWORKS = """
import hashlib, json
import numpy as np
from harken_models.train.fit import fit, prepared_tensorflow, weighted_cross_entropy

tf = prepared_tensorflow()
from harken_models.core import Model
from harken_models.pack import pack
from harken_models.train.check import differing_steps
from harken_models.train.mixednet import Block, MixedNet, Shape
from harken_models.train.streaming import features_as_floats, streaming_model

SHAPES = {
    "wake": Shape((Block((5,), 16), Block((3, 7), 16)), first_filters=16, head_steps=3),
    "many outputs": Shape((Block((3, 5), 12),), 8, first_kernel=3, stride=1, outputs=5),
}
rng = np.random.default_rng(3)
rows = np.clip(rng.normal(-40, 40, (1500, 40)), -128, 127).astype(np.int8)
rows[::7] = rng.choice(np.array([-128, 127], np.int8), rows[::7].shape)

def trained(shape):
    network = MixedNet(shape, 7)
    draw = np.random.default_rng(1)
    def batches():
        while True:
            wanted = draw.integers(0, 2, (16, 4, shape.outputs)).astype(np.float32)
            length = shape.window_rows + 3 * shape.stride
            louder = 8 * wanted.mean((1, 2))[:, None, None]
            values = draw.random((16, length, 40), np.float32) * 10 + louder
            yield values, wanted, np.ones_like(wanted)
    fit(network, batches(), weighted_cross_entropy, 60, 3e-3, lambda *_: None)
    return network

told = {}
for name, shape in SHAPES.items():
    network, again = trained(shape), trained(shape)
    both = zip(network.state().values(), again.state().values())
    same = all(np.array_equal(one, other) for one, other in both)
    model = streaming_model(network, rows)
    packed = pack(model)
    ours = Model(packed).run_outputs(rows) / 256
    # The first convolution's newest row is a stride's last one.
    first = (shape.stride - shape.first_kernel) % shape.stride
    floats = tf.sigmoid(network(features_as_floats(rows[first:])[None]))[0].numpy()
    told[name] = {
        "differing": differing_steps(model, packed, rows),
        "reproducible": same and model == streaming_model(again, rows),
        "worst": float(np.abs(ours[-len(floats):] - floats).max()),
        "mean": float(np.abs(ours[-len(floats):] - floats).mean()),
        "outputs": int(ours.shape[1]),
    }
print(json.dumps(told))
"""


def program(*arguments: str, timeout: float = 500) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=timeout, check=False
    )


def test_streaming_int8_networks_answer_as_their_float_forms_and_as_the_reference() -> None:
    done = program("-c", _NETWORKS)
    assert done.returncode == 0, done.stderr
    for name, told in json.loads(done.stdout.splitlines()[-1]).items():
        assert told["differing"] == 0, name
        assert told["reproducible"], name
        assert told["mean"] < 0.02, (name, told)
        assert told["worst"] < 0.2, (name, told)
        assert told["outputs"] == (5 if name == "many outputs" else 1)


def train(out: Path, *more: str, phrase: str = "hey robo") -> list[str]:
    where = ("--out", str(out), "--work", str(out / "work"))
    return ["-m", "harken.cli", "models", "train-wake", phrase, "--miniature", *where, *more]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A miniature model that was interrupted once while it was made, and what was measured."""
    out = tmp_path_factory.mktemp("wake")
    interrupt_after(out, out / "work" / "surroundings" / "stage.json")
    done = program(*train(out, "--json"))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return out, told


def interrupt_after(out: Path, stage: Path) -> None:
    """Start training, and press Ctrl-C once a stage is there."""
    log = out / "interrupted.log"
    with log.open("w") as file:
        process = subprocess.Popen([sys.executable, *train(out)], stderr=file, stdout=file)
        try:
            until = time.monotonic() + 300
            while not stage.exists():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < until, log.read_text()
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            assert process.wait(60) != 0
        finally:
            process.kill()
            process.wait()
    assert f"goes on from {out / 'work'}" in log.read_text()


def test_all_files_are_written_and_belong_together(trained: tuple[Path, dict[str, Any]]) -> None:
    out, told = trained
    endings = (".tflite", ".json", ".hkm", ".md", ".svg", ".png", ".results.json")
    assert [path.rpartition("/")[2] for path in told["files"]] == [f"hey_robo{e}" for e in endings]
    model = (out / "hey_robo.tflite").read_bytes()
    assert (out / "hey_robo.hkm").read_bytes() == pack(model)
    manifest = json.loads((out / "hey_robo.json").read_bytes())
    assert (manifest["type"], manifest["version"]) == ("micro", 2)
    assert manifest["wake_word"] == "Hey Robo"
    assert manifest["micro"]["probability_cutoff"] == told["results"]["cutoff"]
    assert manifest["micro"]["tensor_arena_size"] > 1000
    assert Model((out / "hey_robo.hkm").read_bytes()).stride() == 3


def test_it_was_compared_with_the_reference_in_every_step(
    trained: tuple[Path, dict[str, Any]],
) -> None:
    assert trained[1]["results"]["checked_steps"] >= 2000


def test_the_command_that_packs_models_takes_it(
    trained: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    packed = pack_file(trained[0] / "hey_robo.tflite", tmp_path)
    assert packed.read_bytes() == (trained[0] / "hey_robo.hkm").read_bytes()


def test_the_card_states_what_a_card_must(trained: tuple[Path, dict[str, Any]]) -> None:
    card = (trained[0] / "hey_robo.md").read_text()
    for heading in ("Recall by voice", "False accepts", "What sounds alike", "Limits"):
        assert f"## {heading}" in card
    assert "hey_robo.svg" in card
    assert "No person says the phrase" in card
    assert "multiply-accumulates" in card
    assert (trained[0] / "hey_robo.png").read_bytes().startswith(b"\x89PNG")


def test_voices_of_the_test_were_never_trained_on(trained: tuple[Path, dict[str, Any]]) -> None:
    names = {each["voice"] for each in trained[1]["results"]["voices"]}
    assert "awb" in names
    assert not {"slt", "rms", "piper-joe"} & names


def test_what_is_finished_is_not_made_again(trained: tuple[Path, dict[str, Any]]) -> None:
    out, _ = trained
    before = digest(out / "hey_robo.tflite")
    done = program(*train(out))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("done before") == 10
    assert digest(out / "hey_robo.tflite") == before


def measured(out: Path) -> dict[str, Any]:
    """What is in the results, but for the seconds that it took."""
    found: dict[str, Any] = json.loads((out / "hey_robo.results.json").read_bytes())
    assert sum(found.pop("seconds").values()) > 0
    return found


def test_the_same_seed_gives_the_same_model(
    trained: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    out, _ = trained
    # Voices and surroundings as they are; scenes, both rounds and the model once more.
    for stage in ("confusables", "clips", "surroundings"):
        shutil.copytree(out / "work" / stage, tmp_path / "work" / stage)
    done = program(*train(tmp_path))
    assert done.returncode == 0, done.stderr
    # Progress and nothing else: TensorFlow would say much more.
    *lines, last = done.stderr.splitlines()
    assert last.endswith("may be removed")
    assert [line for line in lines if not _PROGRESS.fullmatch(line)] == []
    assert sum("loss" in line for line in lines) >= 2
    for ending in (".tflite", ".hkm", ".svg"):
        assert digest(tmp_path / f"hey_robo{ending}") == digest(out / f"hey_robo{ending}"), ending
    assert measured(tmp_path) == measured(out)


@pytest.mark.parametrize("phrase", ["", "  ", "123", "hey $robo", "x" * 60])
def test_a_phrase_that_cannot_be_trained_is_refused_at_once(phrase: str, tmp_path: Path) -> None:
    done = program(*train(tmp_path, phrase=phrase), timeout=60)
    assert done.returncode == 3
    assert "phrase" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = program(*train(tmp_path / "file" / "out"), timeout=60)
    assert done.returncode == 4
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_any_voice_the_packages_are_named(tmp_path: Path) -> None:
    hidden = "import sys; sys.modules['ttspico'] = None; from harken.cli import main; main()"
    arguments = train(tmp_path / "out")[2:]
    empty = {**os.environ, "PATH": str(tmp_path), "HARKEN_MODELS": str(tmp_path / "none")}
    done = subprocess.run(
        [sys.executable, "-c", hidden, *arguments],
        capture_output=True, text=True, timeout=60, check=False, env=empty,
    )  # fmt: skip
    assert done.returncode == 4
    assert "apt-get install espeak-ng" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("module", ["tensorflow", "tflite_micro"])
def test_what_training_needs_is_missed_before_anything_is_made(module: str, tmp_path: Path) -> None:
    hidden = f"import sys; sys.modules[{module!r}] = None; from harken.cli import main; main()"
    done = program("-c", hidden, *train(tmp_path / "out")[2:], timeout=60)
    assert done.returncode == 4
    assert module in done.stderr
    assert "pip install --group train" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
