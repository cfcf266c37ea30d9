"""The whole way: somebody speaks in a room, a device answers out of its loudspeaker."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import wave
from pathlib import Path
from typing import Any

import pytest

from harken.errors import ModelMissingError
from harken.session.timeline import STAGES
from harken_hil.demo.outcome import word_error_rate, words
from harken_models import store

pytestmark = [pytest.mark.e2e, pytest.mark.models, pytest.mark.timeout(300)]

HUMAN = Path("/usr/share/pocketsphinx/test/data/librivox")
MODELS = ("whisper-tiny", "smollm2-135m", "piper-joe", "silero-vad", "okay-nabu")


@pytest.fixture(autouse=True)
def models_are_there() -> None:
    for name in MODELS:
        try:
            store.locate(name)
        except ModelMissingError as error:
            pytest.skip(f"{error}; run `harken models pull`")


def harken(*arguments: str | Path, deadline: float = 280) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harken.cli", "demo", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=deadline,
        check=False,
    )


def left_over(folder: Path) -> list[str]:
    """Command lines of processes that still know of a run's folder."""
    found: list[str] = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if str(folder) in command:
            found.append(command)
    return found


def result_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stdout + done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_a_device_is_called_asked_and_interrupted(tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = result_of(harken("--json", "--out", out))
    assert words(result["heard"]) == words("Tell me about the capital of France.")
    assert "paris" in words(result["answer"])
    assert result["wake"]["word"]
    assert 0 < result["wake"]["latency_ms"] < 500
    timeline = result["timeline_ms"]
    assert set(timeline) == set(STAGES)
    assert 0 == timeline["speech_end"] < timeline["stt_final"] <= timeline["tts_first"]
    assert timeline["tts_first"] < timeline["heard_first"] == result["voice_to_voice_ms"]
    # The word takes most of a second to say; after that it must be quiet quickly.
    assert result["abort_after_wake_ms"] < result["barge_in_stop_ms"] < 2000
    assert result["device"]["heap_free"] > 0
    command = result["turns"][1]
    assert "self.audio_speaker.set_volume" in command["tools"]
    assert command["voice_to_voice_ms"] > 0
    page = Path(result["report"]).read_text("utf-8")
    assert Path(result["report"]) == out / "report.html"
    assert len(page) < 5_000_000
    assert result["answer"] in page
    assert "http://" not in page.replace("http://127.0.0.1", "")
    assert not left_over(out)


def test_the_button_interrupts_too(tmp_path: Path) -> None:
    done = harken("--json", "--out", tmp_path / "run", "--listen", "button")
    result = result_of(done)
    assert result["wake"]["word"] == ""
    assert result["barge_in_stop_ms"] < 300


def test_a_voice_interrupts_a_loud_answer_in_a_reverberant_room(tmp_path: Path) -> None:
    """The device hears itself louder than the talker, and nobody calls it."""
    out = tmp_path / "run"
    how = ("--loud", "--room", "reverberant", "--interrupt", "voice")
    result = result_of(harken("--json", "--out", out, *how))
    assert {check["name"] for check in result["checks"]} >= {"Undisturbed", "Interrupted"}
    assert result["barge_in_stop_ms"] < 300, "before the first word is over"
    command = result["turns"][1]
    assert command["wake"]["word"] == "", "a voice is no wake word"
    assert words(command["heard"]) == ["turn", "the", "volume", "down"]
    assert "self.audio_speaker.set_volume" in command["tools"]
    page = Path(result["report"]).read_text("utf-8")
    assert "voice over the answer" in page
    assert "echo removed" in page


def test_human_speech_is_understood(tmp_path: Path) -> None:
    clip = HUMAN / "sense_and_sensibility_01_austen_64kb-0870.wav"
    if not clip.exists():
        pytest.skip("no human speech: apt-get install pocketsphinx-testdata")
    lines = (HUMAN / "transcription").read_text("utf-8").splitlines()
    line = next(line for line in lines if clip.stem in line)
    said = words(line.removeprefix("<s>").partition("</s>")[0].replace("mister", "mr"))
    done = harken(
        *("--json", "--out", tmp_path / "run", "--listen", "button", "--interrupt", "none"),
        *("--wav", clip),
    )
    result = result_of(done)
    assert len(said) == 22
    assert word_error_rate(said, words(result["heard"])) <= 0.1, result["heard"]
    assert result["barge_in_stop_ms"] is None


@pytest.mark.parametrize("what", ["missing", "folder", "empty", "text", "too long"])
def test_a_recording_that_cannot_be_used_is_refused_at_once(tmp_path: Path, what: str) -> None:
    path = tmp_path / "a.wav"
    if what == "folder":
        path.mkdir()
    elif what == "empty":
        path.touch()
    elif what == "text":
        path.write_text("hello")
    elif what == "too long":
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(bytes(2 * 8000 * 61))
    done = harken("--json", "--wav", path, "--out", tmp_path / "run", deadline=60)
    assert done.returncode == 10
    error = json.loads(done.stderr)["error"]
    assert error["code"] == "audio"
    assert error["hint"]
    assert not (tmp_path / "run").exists(), "nothing was begun"


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = harken("--json", "--out", tmp_path / "file" / "run", deadline=60)
    assert done.returncode == 3
    assert "cannot be made" in json.loads(done.stderr)["error"]["message"]


def test_missing_models_are_never_pulled_by_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARKEN_MODELS", str(tmp_path / "nothing"))
    done = harken("--json", "--out", tmp_path / "run", deadline=60)
    assert done.returncode == 5
    assert "harken models pull" in json.loads(done.stderr)["error"]["hint"]
    assert not (tmp_path / "nothing").exists()


def test_ctrl_c_ends_everything(tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-u", "-m", "harken.cli", "demo", "--out", str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if b"is listening" in line:
                    break
            assert left_over(out)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode != 0
    # The demo's own command line names the folder too; it is gone by now.
    assert not left_over(out)
