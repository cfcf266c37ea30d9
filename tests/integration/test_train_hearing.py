"""Miniature models of voice activity and noise, from recordings to cards, by the commands."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harken_models.core import Model
from harken_models.pack import pack, pack_file

_NEEDS = {
    "tensorflow": "pip install --group train",
    "tflite_micro": "pip install --group train",
    "matplotlib": "pip install --group train",
    "webrtcvad": "pip install --group measure",
    "pystoi": "pip install --group measure",
    "speechmos": "pip install --group measure",
}
_RECORDINGS = ("/usr/share/asterisk/sounds/fr_CA_f_June", "/usr/share/asterisk/moh")
_MISSING = [f"{name}: {how}" for name, how in _NEEDS.items() if find_spec(name) is None]
_MISSING += ["ffmpeg: apt-get install ffmpeg"] * (shutil.which("ffmpeg") is None)
_MISSING += [
    f"{path}: apt-get install asterisk-core-sounds-fr-g722 asterisk-moh-opsound-g722"
    for path in _RECORDINGS
    if not Path(path).exists()
]

pytestmark = [
    pytest.mark.train,
    pytest.mark.integration,
    pytest.mark.models,
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(_MISSING), reason="; ".join(_MISSING)),
]


def trained(command: str, folder: Path, work: Path) -> tuple[Any, str]:
    """What the command printed, as JSON, and what it told on the way."""
    done = subprocess.run(
        [
            sys.executable, "-c", "from harken.cli import main; main()",
            "models", command, "--miniature", "--json", "--out", str(folder), "--work", str(work),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout), done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hearing")


@pytest.fixture(scope="module")
def made(folder: Path) -> dict[str, Any]:
    """Both models, in one work folder."""
    return {
        command: trained(command, folder, folder / "work")[0]
        for command in ("train-vad", "train-noise")
    }


@pytest.mark.parametrize(("name", "outputs"), [("vad", 1), ("noise", 40)])
def test_every_file_is_there_and_fits_the_others(
    name: str, outputs: int, folder: Path, made: dict[str, Any], tmp_path: Path
) -> None:
    told = made[f"train-{name}"]
    assert {Path(path).name for path in told["files"]} == {
        f"{name}{ending}"
        for ending in (".tflite", ".hkm", ".json", ".md", ".svg", ".png", ".results.json")
    }
    assert all(Path(path).stat().st_size for path in told["files"])
    packed = (folder / f"{name}.hkm").read_bytes()
    assert pack((folder / f"{name}.tflite").read_bytes()) == packed
    assert pack_file(folder / f"{name}.tflite", tmp_path).read_bytes() == packed
    model = Model(packed)
    rows = np.random.default_rng(1).integers(-128, 127, (20, 40)).astype(np.int8)
    assert model.stride() == 1
    assert model.run_outputs(rows).shape == (20, outputs)


def test_the_card_compares_with_the_rivals(folder: Path, made: dict[str, Any]) -> None:
    card = (folder / "vad.md").read_text(encoding="utf-8")
    found = made["train-vad"]["results"]
    assert list(found) == ["harken", "harken, energy", "Silero", "WebRTC VAD"]
    assert all(name in card for name in found)
    for licence in ("CC-BY-SA-3.0", "GPL-2.0-or-later", "0 of"):
        assert licence in card
    assert found["Silero"]["groups"]["quiet"] > 0.9, "the judge hears what is there"


def test_the_noise_card_compares_the_ways_of_cleaning(folder: Path, made: dict[str, Any]) -> None:
    rows = made["train-noise"]["results"]
    assert {row["name"] for row in rows} == {"nothing", "statistical", "model"}
    assert "statistical" in (folder / "noise.md").read_text(encoding="utf-8")


def test_what_is_finished_is_not_done_again(folder: Path, made: dict[str, Any]) -> None:
    work = folder / "work"
    before = {path: path.stat().st_mtime_ns for path in work.rglob("*.npy")}
    again, _ = trained("train-vad", folder, work)
    assert again == made["train-vad"]
    assert {path: path.stat().st_mtime_ns for path in work.rglob("*.npy")} == before
