"""What measuring needs is looked for before any work, and named where it is missing."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from harken.errors import ModelMissingError, StartError
from harken_hil.bench import device, echo, pictures, vad, wake_accuracy
from harken_hil.bench.cli import load_bench
from harken_hil.bench.measure import BenchOptions
from harken_models import cli
from harken_models.measure import needs
from harken_models.scenes import corpora
from harken_models.train import voices

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.integration


def without(*names: str) -> Callable[[str], object]:
    return lambda name: None if name in names else name


def _no_packages(split: str) -> list[str]:
    del split
    return []


def _one_package(split: str) -> list[str]:
    return [f"klettres-data-{split}"]


def _robots() -> list[voices.Voice]:
    return [voices.Voice("espeak-ng", "en-us+m1", "m1")]


HEARING = ("echo", "vad", "wake-accuracy", "device")


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Of everything that is looked for, nothing is missing but what a test hides."""
    monkeypatch.setattr(needs, "find_spec", without())
    monkeypatch.setattr(needs, "find_library", without())
    monkeypatch.setattr("shutil.which", without())
    monkeypatch.setattr(corpora, "missing_packages", _no_packages)
    return monkeypatch


@pytest.mark.parametrize(
    ("name", "hidden"),
    [
        ("echo", "scipy"), ("echo", "livekit"), ("echo", "speechmos"), ("echo", "librosa"),
        ("vad", "webrtcvad"), ("vad", "onnxruntime"), ("vad", "pyroomacoustics"),
        ("wake-accuracy", "pymicro_wakeword"), ("device", "pyroomacoustics"),
    ],
)  # fmt: skip
def test_a_bench_names_a_missing_module_before_it_begins(
    name: str, hidden: str, bare: pytest.MonkeyPatch
) -> None:
    bare.setattr(needs, "find_spec", without(hidden))
    with pytest.raises(StartError, match=hidden) as missing:
        load_bench(name).run(BenchOptions(quick=True, silent=True))
    assert "pip install" in missing.value.hint


def test_modules_are_looked_for_where_python_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "livekit", None)
    with pytest.raises(StartError, match="livekit"):
        needs.Needs(modules=("livekit",)).check("this")
    needs.Needs(modules=("numpy",), programs=("sh",)).check("this")


def test_the_library_and_the_emulator_are_named(bare: pytest.MonkeyPatch) -> None:
    bare.setattr(
        needs, "find_library", without("speexdsp", "ffmpeg", "qemu-system-arm", "arm-none-eabi-gcc")
    )
    bare.setattr(
        "shutil.which", without("speexdsp", "ffmpeg", "qemu-system-arm", "arm-none-eabi-gcc")
    )
    with pytest.raises(StartError, match="speexdsp") as missing:
        echo.run(BenchOptions(quick=True, silent=True))
    assert "libspeexdsp1" in missing.value.hint
    with pytest.raises(StartError, match=r"ffmpeg, qemu-system-arm, arm-none-eabi-gcc"):
        device.run(BenchOptions(quick=True, silent=True))


@pytest.mark.parametrize("name", HEARING)
def test_every_package_of_recordings_is_wanted(name: str, bare: pytest.MonkeyPatch) -> None:
    bare.setattr(corpora, "missing_packages", _one_package)
    with pytest.raises(StartError) as missing:
        load_bench(name).run(BenchOptions(quick=True, silent=True))
    assert "apt-get install klettres-data-test" in missing.value.hint


def test_missing_packages_are_those_of_which_no_file_is_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "asterisk/moh").mkdir(parents=True)
    (tmp_path / "asterisk/moh/reno_project-system.g722").touch()
    (tmp_path / "klettres/en").mkdir(parents=True)
    (tmp_path / "klettres/en/a.ogg").touch()
    named = [
        corpora._Collection("asterisk", "a", "en", "test", tmp_path / "none", "*.g722"),  # pyright: ignore[reportPrivateUsage]
        corpora._Collection("french", "b", "fr", "train", tmp_path / "none", "*.g722"),  # pyright: ignore[reportPrivateUsage]
    ]
    monkeypatch.setattr(corpora, "_NAMED", named)
    monkeypatch.setattr(corpora, "_SHARE", tmp_path)
    monkeypatch.setattr(
        corpora, "_VOLUNTEERS",
        (("klettres-data", tmp_path / "klettres"), ("ktuberling-data", tmp_path / "none")),
    )  # fmt: skip
    assert corpora.missing_packages("test") == ["asterisk", "ktuberling-data"]
    train = ["french", "klettres-data", "ktuberling-data", "asterisk-moh-opsound-g722"]
    assert corpora.missing_packages("train") == train


def test_a_missing_model_is_named_before_anything_is_heard(
    bare: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bare.setenv("HARKEN_MODELS", str(tmp_path))
    for bench, model in ((vad, "silero-vad"), (echo, "whisper-tiny")):
        with pytest.raises(ModelMissingError, match=model):
            bench.run(BenchOptions(silent=True))


def test_a_wake_word_that_no_held_out_voice_can_say_is_refused(
    bare: pytest.MonkeyPatch,
) -> None:
    bare.setattr("harken_models.measure.wake_streams.installed_voices", _robots)
    with pytest.raises(StartError, match="held out"):
        wake_accuracy.run(BenchOptions(quick=True, silent=True))


def test_eval_and_pictures_name_what_they_lack(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bare.setattr(needs, "find_spec", without("matplotlib"))
    with pytest.raises(StartError, match="matplotlib"):
        pictures.draw(tmp_path, tmp_path)
    with pytest.raises(StartError, match="matplotlib"):
        CliRunner().invoke(
            cli.models, ["eval", "vad", "--out", str(tmp_path)], catch_exceptions=False
        )


@pytest.mark.parametrize(
    ("command", "hidden"),
    [
        ("train-noise", "pystoi"), ("train-noise", "tensorflow"), ("train-noise", "speechmos"),
        ("train-vad", "webrtcvad"), ("train-vad", "tflite_micro"),
    ],
)  # fmt: skip
def test_training_names_what_its_judges_lack_before_it_trains(
    command: str, hidden: str, bare: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bare.setattr(needs, "find_spec", without(hidden))
    with pytest.raises(StartError, match=hidden):
        CliRunner().invoke(
            cli.models, [command, "--out", str(tmp_path), "--json"], catch_exceptions=False
        )
    assert not (tmp_path / "hearing.work").exists()


@pytest.mark.parametrize(
    "command", [("bench", "vad", "--quick"), ("models", "eval", "vad", "--quick")], ids=" ".join
)
def test_without_scipy_there_is_a_message_and_no_traceback(command: tuple[str, ...]) -> None:
    program = "import sys; sys.modules['scipy'] = None; from harken.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, *command],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "scipy" in done.stderr
    assert "pip install" in done.stderr
    assert "Traceback" not in done.stderr
