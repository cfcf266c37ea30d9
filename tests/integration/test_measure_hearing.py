"""Corpora, rivals and benches of hearing run for real; no speed is asserted here."""

from __future__ import annotations

import importlib.util
import json
from ctypes.util import find_library
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from click.testing import CliRunner

from harken.errors import AudioError, ModelMissingError, StartError
from harken_hil.bench import device, hearing_tables, pictures
from harken_hil.bench.measure import BenchOptions
from harken_models import cli
from harken_models.core import HOP, Cleaner, Features, Model
from harken_models.measure import wake_models, wake_scores, wake_streams
from harken_models.measure.cancellers import Aec3, Harken, Speex, Unprocessed
from harken_models.measure.detectors import ModelVad, WebRtcVad
from harken_models.measure.echo_matrix import BOTH, CONVERGED, EchoCase, HeardScene, hear
from harken_models.measure.echo_scores import erle_db
from harken_models.measure.evaluate import find_model, model_size
from harken_models.measure.ours import shipped_tflite
from harken_models.measure.speech_streams import SpeechCase
from harken_models.measure.speech_streams import hear as hear_stream
from harken_models.measure.talk import Cast
from harken_models.measure.wake_streams import BlockCase, Phrase, hear_block, hear_phrase
from harken_models.pack import pack
from harken_models.scenes import corpora, decoded
from harken_models.scenes.labels import SILENCE, SPEECH

if TYPE_CHECKING:
    from harken_models.measure.cancellers import Canceller

pytestmark = pytest.mark.integration

CASE = EchoCase(1, 60, 0.0, 0.0, -26.0, -72.0, 0.0, "allison-smith", "sphinx-librivox")


@pytest.fixture(scope="module", autouse=True)
def _recordings() -> None:
    here = (
        "/usr/share/asterisk/sounds/en_US_f_Allison", "/usr/share/asterisk/moh",
        "/usr/share/pocketsphinx", "/usr/share/klettres", "/usr/share/ktuberling",
    )  # fmt: skip
    if not all(Path(path).exists() for path in here):
        pytest.skip(f"apt install {' '.join(corpora.PACKAGES)}")


@pytest.fixture(scope="module")
def scene() -> HeardScene:
    return hear(CASE)


def erle_of(scene: HeardScene, out: np.ndarray[Any, Any]) -> float:
    return erle_db(scene.sound.echo, scene.sound.noise, out, CONVERGED)


def test_no_talker_and_no_artist_is_in_both_splits() -> None:
    talkers = {split: {each.talker for each in corpora.talkers(split)} for split in corpora.SPLITS}
    assert not talkers["train"] & talkers["test"]
    assert min(map(len, talkers.values())) >= 3
    artists = {split: {clip.talker for clip in corpora.music(split)} for split in corpora.SPLITS}
    assert not artists["train"] & artists["test"]


def test_a_woman_who_speaks_two_languages_is_one_talker() -> None:
    clips = [clip for clip in corpora.speech("test") if clip.talker == "allison-smith"]
    assert {clip.language for clip in clips} == {"en", "es"}


def test_what_is_no_speech_is_left_out_and_what_is_said_is_known() -> None:
    clips = {clip.name: clip for clip in corpora.speech("test") if clip.language == "en"}
    assert "beep" not in clips
    assert not any(name.startswith("silence") for name in clips)
    assert clips["activated"].text == "Activated."
    said = [clip for clip in clips.values() if clip.source == "pocketsphinx-testdata" and clip.text]
    assert len(said) >= 10
    assert all(clip.samples.dtype == np.int16 for clip in clips.values())


def test_missing_recordings_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpora, "_NAMED", ())
    monkeypatch.setattr(corpora, "_VOLUNTEERS", ())
    with pytest.raises(StartError) as missing:
        list(corpora.speech("test"))
    assert "asterisk-core-sounds-en-g722" in missing.value.hint


def test_a_recording_that_is_none_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    broken = tmp_path / "broken.ogg"
    broken.write_bytes(b"no audio")
    with pytest.raises(AudioError, match=r"broken\.ogg"):
        decoded.decoded("broken", [broken])
    assert not list((tmp_path / "cache/harken/corpora").iterdir())


def test_a_scene_has_what_its_case_says(scene: HeardScene) -> None:
    again = hear(CASE)
    assert np.array_equal(scene.sound.mic, again.sound.mic)
    assert scene.text
    near = np.sqrt(np.mean(scene.sound.near[BOTH] ** 2))
    assert near > 100
    assert np.abs(scene.sound.near[CONVERGED]).max() < 1
    assert erle_of(scene, scene.perfect()) > 30


@pytest.mark.parametrize("make", [Harken, Aec3, Speex])
def test_every_canceller_takes_echo_away(make: type[Canceller], scene: HeardScene) -> None:
    if make is Aec3 and importlib.util.find_spec("livekit") is None:
        pytest.skip("pip install --group measure")
    if make is Speex and find_library("speexdsp") is None:
        pytest.skip("apt install libspeexdsp1")
    canceller = make()
    out = canceller.run(scene.sound.mic, scene.sound.reference)[canceller.latency :]
    assert 15 < erle_of(scene, out) <= erle_of(scene, scene.perfect()) + 0.05
    # The near talker is still there: the sound is loud when they are.
    near, left = (
        np.sum(part[BOTH].astype(np.float64)[: 990 * HOP].reshape(-1, HOP) ** 2, axis=1)
        for part in (scene.sound.near, out)
    )
    assert np.corrcoef(near, left)[0, 1] > 0.4


def test_the_floor_takes_nothing_away(scene: HeardScene) -> None:
    out = Unprocessed().run(scene.sound.mic, scene.sound.reference)
    assert abs(erle_of(scene, out)) < 0.1


def test_the_whole_cleaner_is_a_run_of_its_steps(scene: HeardScene) -> None:
    mic, reference = scene.sound.mic[: 100 * HOP], scene.sound.reference[: 100 * HOP]
    cleaner, out = Cleaner(), bytearray(2 * HOP)
    stepped = bytearray()
    for at in range(0, len(mic), HOP):
        hop = slice(at, at + HOP)
        cleaner.step(mic[hop].tobytes(), reference[hop].tobytes(), out, None)
        stepped += out
    whole = Harken(Cleaner.ALL).run(mic, reference)
    assert whole.tobytes() == bytes(stepped)


def test_talk_fits_and_says_where_speech_is() -> None:
    people = Cast("test", 1.0, 6.0, lambda clip: clip.talker == "sphinx-librivox")
    talk = people.talk("sphinx-librivox", 9.0, np.random.default_rng(4))
    assert len(talk.samples) == 9 * 16_000
    assert len(talk.labels) == 900
    loud = np.abs(talk.samples.reshape(-1, HOP)).max(axis=1)
    assert loud[talk.labels == SPEECH].mean() > 20 * max(loud[talk.labels == SILENCE].mean(), 1)


def test_a_stream_is_the_same_again_and_its_ends_are_ends() -> None:
    case = SpeechCase(3, "pink", 15.0, reverberant=False, seconds=20.0)
    stream = hear_stream(case)
    assert np.array_equal(stream.samples, hear_stream(case).samples)
    for end, pause in zip(stream.ends, stream.pauses, strict=True):
        assert stream.labels[end - 1] == SPEECH
        assert SPEECH not in stream.labels[end : end + pause]
        assert pause >= 70


def test_a_detector_says_what_the_model_said_last() -> None:
    model = pack(shipped_tflite("vad").read_bytes())
    stream = hear_stream(SpeechCase(3, "pink", 15.0, reverberant=False, seconds=20.0))
    features, running, row, last = Features(), Model(model), bytearray(40), -1
    expected: list[int] = []
    for at in range(0, len(stream.samples), HOP):
        if features.step(stream.samples[at : at + HOP].tobytes(), row):
            said = running.step(row)
            last = said if said >= 0 else last
        expected.append(last)
    assert ModelVad(model).probabilities(stream.samples).tolist() == expected


def test_a_stricter_mode_of_webrtc_says_less() -> None:
    pytest.importorskip("webrtcvad", reason="pip install --group measure")
    stream = hear_stream(SpeechCase(3, "pink", 5.0, reverberant=False, seconds=20.0))
    heard = WebRtcVad().run(stream.samples)
    assert set(np.unique(heard.scores)) <= {0, 1, 2, 3, 4}
    assert heard.speech.sum() <= (heard.scores > 0).sum()


@pytest.mark.models
def test_both_engines_say_the_same_of_a_phrase() -> None:
    pytest.importorskip("pymicro_wakeword", reason="make setup")
    try:
        (model, *_) = wake_models.published()
    except ModelMissingError as missing:
        pytest.skip(missing.hint)
    samples = hear_block(BlockCase(2, "speech"))[: 20 * 16_000]
    ours, theirs = wake_models.ours(model, samples), wake_models.pymicro(model, samples)
    assert ours.size == theirs.size > 600
    assert np.array_equal(ours, theirs)


def test_playback_is_cleaned_or_not_and_otherwise_the_same() -> None:
    rng = np.random.default_rng(0)
    said = (3_000 * rng.standard_normal(12_000)).astype(np.int16)
    phrase = Phrase("x", "noise", natural=False, samples=said, number=3)
    cleaned = hear_phrase(phrase, "playback").astype(np.float64)
    left = hear_phrase(phrase, "playback, not cleaned").astype(np.float64)
    lead = slice(0, 3 * 16_000)
    assert np.mean(cleaned[lead] ** 2) < 0.1 * np.mean(left[lead] ** 2)


def test_a_model_s_size_is_what_the_engine_takes() -> None:
    size = model_size(shipped_tflite("vad").read_bytes())
    assert size.packed == len(pack(shipped_tflite("vad").read_bytes()))
    assert 1_000 < size.macs < 100_000
    assert size.stride == 1


def test_an_unknown_model_is_refused_by_name() -> None:
    with pytest.raises(ModelMissingError, match="nobody") as missing:
        find_model("nobody", Path("nobody"))
    assert "okay_nabu" in missing.value.hint


@pytest.mark.timeout(180)
def test_eval_measures_the_shipped_voice_model(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pip install --group measure")
    command = ["eval", "vad", "--quick", "--json", "--out", str(tmp_path)]
    done = CliRunner().invoke(cli.models, command, catch_exceptions=False)
    found = json.loads(done.stdout)
    assert found["kind"] == "vad"
    assert 0.8 < found["area"] <= 1.0
    assert (tmp_path / "vad-roc.svg").stat().st_size > 1_000


@pytest.mark.models
@pytest.mark.timeout(240)
def test_eval_draws_the_curve_of_a_published_wake_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib", reason="pip install --group measure")
    (block, *_) = wake_streams.blocks(quick=True)
    # One of its quarter of an hour without the phrase is enough to see a curve.
    monkeypatch.setattr(wake_scores, "blocks", partial(_one, block))
    command = ["eval", "okay-nabu", "--quick", "--json", "--out", str(tmp_path)]
    try:
        done = CliRunner().invoke(cli.models, command, catch_exceptions=False)
    except (StartError, ModelMissingError) as missing:
        pytest.skip(missing.hint)
    found = json.loads(done.stdout)
    assert found["kind"] == "wake word"
    assert found["phrase"].lower() == "okay nabu"
    assert found["recall by surroundings"]["quiet"] > 0.5
    recall, alarms = found["curve"]["recall"], found["curve"]["false accepts an hour"]
    assert recall == sorted(recall, reverse=True)
    assert alarms == sorted(alarms, reverse=True)
    assert alarms[0] > alarms[-1]
    (picture,) = tmp_path.glob("*-roc.svg")
    assert picture.stat().st_size > 1_000
    assert picture.with_suffix(".png").stat().st_size > 1_000


def _one(block: BlockCase, *, quick: bool) -> list[BlockCase]:
    del quick
    return [block]


# The first run builds MicroPython for the emulated board, which takes half a minute.
@pytest.mark.native
@pytest.mark.models
@pytest.mark.timeout(600)
def test_the_device_s_parts_are_counted_on_an_emulated_board() -> None:
    try:
        result = device.run(BenchOptions(quick=True, silent=True))
    except (StartError, ModelMissingError) as missing:
        pytest.skip(missing.hint)
    mean = result.data["mean"]
    assert mean["cleaner, high-pass alone"] < mean["cleaner, high-pass and echo"]
    assert 20_000 < mean["features"] < 80_000
    assert all(size > 0 for size in result.data["ram"].values())
    whole = {name: count for name, (count, _) in result.data["whole hops"].items()}
    waiting, _, _, answering, more = sorted(whole.values())
    assert result.data["mean"]["features"] < waiting < answering < more
    assert {line.name for line in result.figures} >= set(whole)
    assert all(line.ratio is not None for line in result.figures)
    table = hearing_tables.device_table(result.as_json())
    assert table.count("\n") == len(mean) + 1
    goals = hearing_tables.goal_table(result.as_json())
    assert goals.count(" met |") + goals.count("**not met** |") == len(result.figures)


def echo_rows() -> list[dict[str, Any]]:
    return [
        {
            "canceller": name, "delay_ms": delay, "distortion": 0.2, "rt60_s": 0.3 + delay / 1_000,
            "converged_db": level, "both_echo": 4.0, "both_other": 3.0,
        }
        for name, level in (("harken", 30), ("WebRTC AEC3", 29), ("SpeexDSP", 20), ("perfect", 40))
        for delay in (0, 60)
    ]  # fmt: skip


def test_pictures_are_the_same_for_the_same_figures(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pip install --group measure")
    drawn: list[bytes] = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        drawn.append(pictures.draw_echo(echo_rows(), folder)[0].read_bytes())
    assert drawn[0] == drawn[1]
    assert drawn[0].startswith(b"<?xml")
