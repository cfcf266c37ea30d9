"""Silero's own model on speech that a program speaks, and on noise."""

from __future__ import annotations

import shutil
import subprocess
import wave
from io import BytesIO
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import pytest

from harken.audio.pcm import Resampler
from harken.audio.vad import RATE, WINDOW, Endpointer, SileroVad
from harken.errors import ModelFormatError, ModelMissingError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.models]


@pytest.fixture(scope="module")
def model() -> Path:
    pytest.importorskip("onnxruntime", reason="pip install 'harken[local]'")
    from harken_models.store import weights

    try:
        return weights("silero-vad")
    except ModelMissingError:
        pytest.skip("harken models pull silero-vad")


@pytest.fixture(scope="module")
def speech() -> bytes:
    program = shutil.which("espeak-ng")
    if program is None:
        pytest.skip("apt install espeak-ng")
    done = subprocess.run(
        [program, "--stdout", "Good morning, what is the weather like today?"],
        capture_output=True,
        check=True,
        timeout=30,
    )
    with wave.open(BytesIO(done.stdout)) as sound:
        source = sound.getframerate()
    # Its header promises more than there is: the program writes to a pipe.
    pcm = done.stdout[44:]
    resampler = Resampler(source, RATE)
    return resampler.feed(pcm[: len(pcm) & ~1]) + resampler.flush()


def quiet(ms: int, seed: int) -> bytes:
    count = RATE * ms // 1000
    return np.random.default_rng(seed).normal(0, 30, count).astype(np.int16).tobytes()


def test_speech_is_told_from_noise(model: Path, speech: bytes) -> None:
    vad = SileroVad(model)
    noise = vad.feed(quiet(2_000, 1))
    assert len(noise) == 2 * RATE // WINDOW
    assert max(noise) < 0.3
    spoken = vad.feed(speech)
    assert np.mean(np.array(spoken) > 0.5) > 0.6


def test_a_stream_is_judged_alike_however_it_is_cut(model: Path, speech: bytes) -> None:
    whole, cut = SileroVad(model), SileroVad(model)
    pieces = [cut.feed(speech[at : at + 640]) for at in range(0, len(speech), 640)]
    assert list(chain.from_iterable(pieces)) == pytest.approx(whole.feed(speech), abs=1e-5)
    whole.reset()
    assert whole.feed(speech)[:20] == pytest.approx(SileroVad(model).feed(speech)[:20], abs=1e-5)


def test_two_streams_do_not_mix(model: Path, speech: bytes) -> None:
    alone, other = SileroVad(model), SileroVad(model)
    wanted = alone.feed(speech)
    alone.reset()
    mixed: list[float] = []
    for at in range(0, len(speech), 1_024):
        mixed += alone.feed(speech[at : at + 1_024])
        other.feed(quiet(32, at))
    assert mixed == pytest.approx(wanted, abs=1e-5)


def test_the_end_of_speech_is_found_where_it_is(model: Path, speech: bytes) -> None:
    vad, endpointer = SileroVad(model), Endpointer(silence_ms=500)
    lead, tail = quiet(1_000, 2), quiet(1_500, 3)
    at_ms, found = 0, []
    for probability in vad.feed(lead + speech + tail):
        at_ms += 32
        event = endpointer.push(probability)
        if event is not None:
            found.append((event.kind, at_ms - event.ms_ago))
    samples = np.abs(np.frombuffer(speech, np.int16).astype(np.int32))
    loud = np.flatnonzero(samples > 600)
    first, last = 1_000 + loud[0] / 16, 1_000 + loud[-1] / 16
    kinds, times = zip(*found, strict=True)
    assert kinds == ("start", "end")
    assert times[0] == pytest.approx(first, abs=150)
    assert times[1] == pytest.approx(last, abs=200)


def test_another_onnx_model_is_refused(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Image:
        name = "image"

    class Other:
        def get_inputs(self) -> list[Image]:
            return [Image()]

    def load(*_: object, **__: object) -> Other:
        return Other()

    path = tmp_path / "other.onnx"
    path.write_bytes(model.read_bytes())
    monkeypatch.setattr("onnxruntime.InferenceSession", load)
    with pytest.raises(ModelFormatError, match="image"):
        SileroVad(path)
