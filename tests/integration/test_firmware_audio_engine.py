"""The whole engine in the real MicroPython: a published wake model, synthetic speech, no heap."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("micropython_unix", reason="pip install 'harken[rig]'")

from harken.errors import ModelMissingError
from harken_hil.board.flash_image import shipped_models
from harken_hil.micropython import firmware_paths, run_script
from harken_hil.speech import load_wav
from harken_models import store
from harken_models.pack import pack

pytestmark = [pytest.mark.integration, pytest.mark.models]

_DATA = Path(__file__).parents[1] / "data"
WAKE, SPEECH, SPEECH_END, HEARD, DRAINED = 2, 4, 8, 32, 64
ALL_PARTS = 31  # of the cleaner


@dataclass(frozen=True)
class Said:
    """A recording: the word, a pause, the question, and silence; in samples."""

    samples: np.ndarray[Any, np.dtype[np.int16]]
    word_end: int
    question_start: int
    question_end: int


def said(pause_ms: int, noise: float) -> Said:
    word = load_wav(_DATA / "speech" / "okay_nabu.wav").samples // 4
    question = load_wav(_DATA / "speech" / "what_time_is_it.wav").samples // 4
    start = 32_000 + len(word) + 16 * pause_ms
    samples = np.zeros(13 * 16_000)
    samples[32_000 : 32_000 + len(word)] = word
    samples[start : start + len(question)] = question
    samples += np.random.default_rng(7).normal(0, noise, len(samples))
    clipped = np.clip(samples, -32_768, 32_767).astype(np.int16)
    return Said(clipped, 32_000 + len(word), start, start + len(question))


@pytest.fixture(scope="session", params=["energy", "model"])
def models(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wake word; speech is found by its energy, or by the model that every device has."""
    folder = tmp_path_factory.mktemp("models")
    if request.param == "model":
        for name, content in shipped_models().items():
            (folder / name).write_bytes(content)
    try:
        stored = store.locate("okay-nabu")
    except ModelMissingError:
        pytest.skip("harken models pull okay-nabu")
    (folder / "okay_nabu.hkm").write_bytes(pack((stored / "okay_nabu.tflite").read_bytes()))
    (folder / "okay_nabu.json").write_bytes((stored / "okay_nabu.json").read_bytes())
    return folder


def run(
    recording: Said,
    models: Path,
    folder: Path,
    parts: int = ALL_PARTS,
    noise: str = "",
    paths: list[Path] | None = None,
) -> dict[str, Any]:
    (folder / "mic.pcm").write_bytes(recording.samples.astype("<i2").tobytes())
    result = run_script(
        _DATA / "micropython" / "engine_run.py",
        str(folder / "mic.pcm"),
        str(models),
        "okay_nabu",
        str(parts),
        noise,
        paths=paths or firmware_paths(),
        heap_kib=512,  # bytecode and weights are in it too, as they are not on a board
    )
    assert result.status == 0, result.output
    told: dict[str, Any] = json.loads(result.output)
    return told


def of(told: dict[str, Any], kind: int) -> list[int]:
    return [sample for each, sample in told["events"] if each == kind]


@pytest.mark.parametrize(("pause_ms", "noise"), [(400, 8.0), (0, 8.0), (400, 60.0)])
def test_word_and_question_are_found(
    models: Path, tmp_path: Path, pause_ms: int, noise: float
) -> None:
    recording = said(pause_ms, noise)
    told = run(recording, models, tmp_path)
    (woken,) = of(told, WAKE)
    assert told["word"] == "Okay Nabu"
    assert -3200 < woken - recording.word_end < 4800
    (began,) = of(told, SPEECH)
    assert recording.question_start < began < recording.question_start + 6400
    (ended,) = of(told, SPEECH_END)
    assert abs(ended - recording.question_end) < 1600
    stamps = [stamp for stamp, _ in told["packets"]]
    # From before the question to the end of the turn, without a gap.
    assert stamps[0] * 16 <= recording.question_start
    assert stamps == list(range(stamps[0], stamps[-1] + 1, 20))
    assert stamps[-1] * 16 > ended
    assert all(size > 2 for _, size in told["packets"])


def test_a_thousand_hops_of_everything_allocate_nothing(models: Path, tmp_path: Path) -> None:
    noise = "noise" if (models / "noise.hkm").exists() else ""
    told = run(said(400, 8.0), models, tmp_path, noise=noise)
    if noise:
        assert told["lines"] == []
    assert told["hops"] == 1300
    assert told["written"] == 1300
    assert len(told["packets"]) > 50
    assert told["late"] > 10
    assert told["allocated"] == 0


def test_stock_firmware_hears_the_same_without_our_core(models: Path, tmp_path: Path) -> None:
    """Words and speech in viper; of our C there is the codec alone, and nothing cleans."""
    firmware, native = firmware_paths()
    alone = tmp_path / "native"
    alone.mkdir()
    shutil.copy(native / "harken_opus.mpy", alone)
    recording = said(400, 8.0)
    told = run(recording, models, tmp_path, paths=[firmware, alone])
    ours = run(recording, models, tmp_path, parts=0)
    assert told["allocated"] == 0
    assert told["word"] == "Okay Nabu"
    for kind in (WAKE, SPEECH, SPEECH_END, HEARD, DRAINED):
        assert of(told, kind) == of(ours, kind)


def test_the_answer_is_told_from_its_first_sample_to_its_last(models: Path, tmp_path: Path) -> None:
    told = run(said(400, 8.0), models, tmp_path)
    (heard,) = of(told, HEARD)
    (drained,) = of(told, DRAINED)
    assert 0 < heard < drained
    assert 8000 < told["played_ms"] < 10_000
    # Nobody speaks with an empty buffer: it drained after the last packet was played.
    assert drained > 1000 * 160


def test_silence_and_noise_wake_nobody(models: Path, tmp_path: Path) -> None:
    samples = np.random.default_rng(3).normal(0, 500, 13 * 16_000).astype(np.int16)
    told = run(Said(samples, 0, 0, 0), models, tmp_path)
    assert not of(told, WAKE)
    assert not told["packets"]
