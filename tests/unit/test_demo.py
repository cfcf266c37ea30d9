"""The demo judges by what was at the microphone and the loudspeaker, and nothing else."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
from click.testing import CliRunner

from harken.errors import AudioError, ConfigError, ModelMissingError, RigError
from harken.session.timeline import TurnRecord
from harken_hil.board.sim_board import Mark
from harken_hil.demo.cli import demo
from harken_hil.demo.clock import RoomClock
from harken_hil.demo.hearing import hear_again
from harken_hil.demo.outcome import Outcome, judge, word_error_rate, words
from harken_hil.demo.scene import Asked, Scene
from harken_hil.demo.scenery import Scenery
from harken_hil.demo.script import Script, Wanted, wake_model, write_script
from harken_hil.demo.story import stages, tell
from harken_hil.report import render
from harken_hil.speech import Clip
from harken_hil.world import Utterance, World, quiet_room
from harken_models.core import Cleaner
from harken_models.scenes.mix import active_rms

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from harken_hil.board.sim_board import SimBoard
    from harken_hil.demo.gateway import GatewayProcess
    from harken_hil.demo.scenery import RoomName

SECOND = 16_000
TONE = (8000 * np.sin(np.arange(SECOND) * 0.2)).astype(np.int16)


@dataclass
class RecordedBoard:
    """What a board leaves behind."""

    marks: list[Mark]
    speaker: NDArray[np.int16]
    slips: list[tuple[int, float]] = field(default_factory=list)
    logs: list[str] = field(default_factory=lambda: ["device: hello"])
    glitches: list[int] = field(default_factory=list)
    boots: int = 1
    origin: int = 320
    hello: dict[str, Any] = field(default_factory=lambda: {"board": "sim", "heap_free": 1000})
    slipped_s: float = 0.0

    @property
    def now(self) -> int:
        return len(self.speaker)

    @property
    def mic(self) -> NDArray[np.int16]:
        noise = np.random.default_rng(1).normal(0, 300, len(self.speaker))
        return (self.speaker // 2 + noise).astype(np.int16)


@dataclass
class GatewayLog:
    log: Path


def record(number: int, **changes: Any) -> TurnRecord:
    turn = TurnRecord(
        number=number,
        device="d",
        session="s",
        transcript="Tell me about the capital of France.",
        answer="The capital of France is Paris.",
        stages={
            "speech_end": 0.0,
            "device_endpoint": 500.0,
            "uplink_last": 490.0,
            "endpoint": 505.0,
            "stt_final": 600.0,
            "llm_first": 700.0,
            "tts_first": 850.0,
            "downlink_first": 860.0,
            "heard_first": 890.0,
        },
        interrupted=True,
        played_ms=1700,
    )
    return TurnRecord(**{**{f: getattr(turn, f) for f in turn.__struct_fields__}, **changes})


def scene(folder: Path, *, stop: int = 5 * SECOND + 300) -> Scene:
    """Asked at 1 s, heard at 3 s, called again at 4 s, silent at `stop`, told at 6 s."""
    clip = Clip.of(TONE)
    script = Script("wake", "okay_nabu", clip, clip, "Paris", clip)
    speaker = np.zeros(9 * SECOND, np.int16)
    speaker[3 * SECOND : stop] = 3000
    speaker[7 * SECOND : 8 * SECOND] = 3000
    speaker[int(2.6 * SECOND)] = 90  # below what counts as heard
    marks = [
        Mark("state", 0, "idle"),
        Mark("wake", int(1.5 * SECOND), "okay_nabu"),
        Mark("state", int(1.5 * SECOND), "listening"),
        Mark("speech_end", int(2.1 * SECOND), None),
        Mark("wake", 5 * SECOND, "okay_nabu"),
        Mark("abort", 5 * SECOND, "wake_word_detected"),
        Mark("speech_end", int(6.3 * SECOND), None),
        Mark("volume", int(6.8 * SECOND), 80),
    ]
    world = World(quiet_room())
    log = folder / "gateway.log"
    log.write_text("gateway: hello\n")
    board = RecordedBoard(marks, speaker)
    played = Scene(
        script, world, cast("SimBoard", board), cast("GatewayProcess", GatewayLog(log)), "02:00"
    )
    question = Utterance("Tell me about the capital of France.", 0, int(1.6 * SECOND), 2 * SECOND)
    command = Utterance("Turn the volume up.", 0, int(5.4 * SECOND), 6 * SECOND)
    first = Utterance("Okay Nabu.", 0, SECOND, int(1.4 * SECOND))
    second = Utterance("Okay Nabu.", 0, 4 * SECOND, int(4.9 * SECOND))
    played.asked += [Asked(first, first.onset, question), Asked(second, second.onset, command)]
    played.records += [
        record(1),
        record(
            2,
            transcript="turn the volume up",
            answer="Louder.",
            tools=("self.audio_speaker.set_volume",),
            interrupted=False,
        ),
    ]
    return played


def failed(outcome: Outcome) -> dict[str, str]:
    return {check.name: check.detail for check in outcome.checks if not check.ok}


def test_latencies_come_from_microphone_and_loudspeaker(tmp_path: Path) -> None:
    outcome = judge(scene(tmp_path))
    assert outcome.ok
    first, second = outcome.turns
    assert first.voice_to_voice_ms == 1000.0
    assert second.voice_to_voice_ms == 1000.0
    assert first.wake is not None
    assert first.wake.latency_ms == 100.0
    assert outcome.barge_in is not None
    # From 4 s, when the user began to speak, to 5 s and 300 samples.
    assert outcome.barge_in.stop_ms == pytest.approx(1000 + 299 / 16, abs=0.1)
    assert outcome.barge_in.after_wake_ms == pytest.approx(299 / 16, abs=0.1)


def test_the_timeline_counts_from_the_true_end_of_speech(tmp_path: Path) -> None:
    timeline = judge(scene(tmp_path)).turns[0].timeline_ms
    # The device believed that speech ended 100 ms later than it did.
    assert timeline["speech_end"] == 0.0
    assert timeline["device_endpoint"] == 600.0
    assert timeline["stt_final"] == 700.0
    assert timeline["heard_first"] == 1000.0, "the loudspeaker's word, not the device's"


def test_the_gateways_stages_are_joined_by_what_went_up_and_what_came_down(tmp_path: Path) -> None:
    """A room that stands still puts the gateway's idea of the device's clock wrong."""
    played = scene(tmp_path)
    played.board.slips = [(int(0.5 * SECOND), 0.4), (int(2.65 * SECOND), 0.02)]
    played.board.marks += [
        Mark("listen", int(2.6 * SECOND), "stop"),
        Mark("stt", int(2.7 * SECOND), "Tell me about the capital of France."),
    ]
    # 400 ms late in the gateway's count: its clocks were joined before the room stood still.
    late = {name: at + 400 for name, at in record(1).stages.items() if name != "speech_end"}
    played.records[0] = record(1, stages={**late, "device_endpoint": 500.0, "speech_end": 0.0})
    timeline = judge(played).turns[0].timeline_ms
    assert timeline["device_endpoint"] == 600.0
    # Up at 600, down at 720 of which 20 the room stood still; 95 ms of that was the transcript's.
    assert timeline["endpoint"] == pytest.approx(612.5)
    assert timeline["stt_final"] == pytest.approx(612.5 + 95)
    assert timeline["tts_first"] - timeline["stt_final"] == pytest.approx(250)


def test_stages_follow_each_other_without_gaps(tmp_path: Path) -> None:
    steps = stages(judge(scene(tmp_path)).turns[0])
    assert steps[0].start_ms == 0
    assert steps[-1].end_ms == 1000
    for before, after in itertools.pairwise(steps):
        assert before.end_ms == after.start_ms
        assert after.end_ms > after.start_ms


def test_a_room_that_stood_still_makes_an_answer_later(tmp_path: Path) -> None:
    played = scene(tmp_path)
    played.board.slips = [(SECOND, 9.0), (int(2.5 * SECOND), 0.25), (4 * SECOND, 7.0)]
    first = judge(played).turns[0]
    assert first.voice_to_voice_ms == 1250.0
    assert first.timeline_ms["heard_first"] == 1250.0


def test_the_rooms_clock_and_back() -> None:
    clock = RoomClock([(1600, 0.1), (3200, 0.05)])
    assert clock.ms(0, 1599) == pytest.approx(99.9, abs=0.1)
    assert clock.ms(0, 1600) == 200.0
    assert clock.ms(1600, 4800) == 250.0
    for sample in (0, 800, 2400, 4800):
        assert clock.sample(0, clock.ms(0, sample)) == pytest.approx(sample, abs=1)
    assert clock.sample(0, 150.0) == 1600, "the room stood still then"


def test_an_answer_that_was_over_is_no_interruption(tmp_path: Path) -> None:
    outcome = judge(scene(tmp_path, stop=int(3.9 * SECOND)))
    assert outcome.barge_in is None
    assert failed(outcome) == {"Interrupted": "the answer was over before"}


def test_an_answer_that_goes_on_is_no_interruption(tmp_path: Path) -> None:
    assert "went on for" in failed(judge(scene(tmp_path, stop=6 * SECOND - 800)))["Interrupted"]


def test_what_was_misheard_is_said(tmp_path: Path) -> None:
    played = scene(tmp_path)
    played.records[0] = record(1, transcript="Tell me about a capital of France.")
    assert not failed(judge(played)), "one word in seven is still understood"
    played.records[0] = record(1, transcript="Sell me a capital offence.")
    assert failed(judge(played)) == {"Heard": "as “Sell me a capital offence.”"}


def test_a_wrong_answer_is_told(tmp_path: Path) -> None:
    played = scene(tmp_path)
    played.records[0] = record(1, answer="It is Lyon.")
    assert "without “Paris”" in failed(judge(played))["Answered"]


def test_a_deaf_device_is_told(tmp_path: Path) -> None:
    played = scene(tmp_path)
    played.board.marks = [mark for mark in played.board.marks if mark.name != "wake"]
    assert set(failed(judge(played))) == {"Heard", "Interrupted"}


def test_a_volume_that_stays_is_told(tmp_path: Path) -> None:
    played = scene(tmp_path)
    played.board.marks = [m for m in played.board.marks if m.name != "volume"]
    assert failed(judge(played)) == {"Obeyed": "the volume did not change"}
    played.board.marks.append(Mark("volume", int(6.8 * SECOND), 60))
    assert failed(judge(played)) == {"Obeyed": "volume 70 → 60"}


def spoken_over(folder: Path) -> Scene:
    """As `scene`, but the second turn is spoken over the answer without calling the device."""
    played = scene(folder, stop=int(4.1 * SECOND))
    played.script = replace(played.script, interrupt="voice", volume=90)
    played.board.marks = [
        Mark("wake", int(1.5 * SECOND), "okay_nabu"),
        Mark("speech_end", int(2.1 * SECOND), None),
        Mark("barge_in", int(4.08 * SECOND), None),
        Mark("abort", int(4.08 * SECOND), "voice"),
        Mark("speech_end", int(6.3 * SECOND), None),
        Mark("volume", int(6.8 * SECOND), 80),
    ]
    command = Utterance("Turn the volume down.", 0, 4 * SECOND, 6 * SECOND)
    played.asked[1] = Asked(None, command.onset, command, "voice")
    played.records[1] = record(
        2, transcript="Turn the volume down.", answer="Quieter.", interrupted=False
    )
    return played


def test_a_voice_over_the_answer_stops_it(tmp_path: Path) -> None:
    outcome = judge(spoken_over(tmp_path))
    assert outcome.ok, failed(outcome)
    assert outcome.barge_in is not None
    assert outcome.barge_in.stop_ms == pytest.approx(100, abs=0.1)
    assert outcome.barge_in.after_wake_ms == pytest.approx(20, abs=0.2)
    assert "Undisturbed" in {check.name for check in outcome.checks}
    wake = outcome.turns[1].wake
    assert wake is not None
    assert (wake.word, wake.latency_ms) == ("", 80)


@pytest.mark.parametrize("name", ["barge_in", "wake", "stop", "abort"])
def test_an_answer_that_stops_itself_is_told(tmp_path: Path, name: str) -> None:
    played = spoken_over(tmp_path)
    played.board.marks.append(Mark(name, int(3.5 * SECOND), None))
    assert failed(judge(played)) == {"Undisturbed": f"{name} 500 ms into its own answer"}


def test_a_quieter_device_is_what_a_loud_one_is_asked_for(tmp_path: Path) -> None:
    played = spoken_over(tmp_path)
    played.board.marks.append(Mark("volume", int(6.9 * SECOND), 95))
    assert failed(judge(played)) == {"Obeyed": "volume 90 → 95"}


def test_the_microphone_is_cleaned_again_to_the_bit(tmp_path: Path) -> None:
    board = cast("RecordedBoard", scene(tmp_path).board)
    heard = hear_again(cast("SimBoard", board))
    out, linear = Cleaner().run(board.mic[320:], board.speaker[320:])
    assert np.array_equal(heard.linear[320:], linear)
    # The cleaner's own delay is taken out, so that the tracks are in step.
    assert np.array_equal(heard.cleaned[320 : len(board.mic) - 160], out[160:])
    assert len(heard.cleaned) == len(board.mic)
    assert len(heard.readings) == 90
    assert heard.readings[1].sample - heard.readings[0].sample == 1600


@pytest.mark.parametrize("room", ["living", "reverberant"])
@pytest.mark.parametrize("loud", [False, True])
def test_a_loud_device_hears_itself_louder_than_the_talker(room: RoomName, loud: bool) -> None:
    def heard(*, talking: bool) -> float:
        world = Scenery(room, loud).world()
        if talking:
            world.speak(Clip.of(TONE), 0)
        sound = np.zeros(16_000, np.int16) if talking else (TONE[:16_000] // 4 * 3)
        blocks = [world.block(n, sound[160 * n : 160 * n + 160]) for n in range(100)]
        return active_rms(np.concatenate(blocks))

    ratio = 20 * np.log10(heard(talking=False) / heard(talking=True))
    assert 5 < ratio < 20 if loud else ratio < -5


def test_a_scene_that_broke_off_still_has_an_outcome(tmp_path: Path) -> None:
    played = scene(tmp_path)
    played.asked.clear()
    played.records.clear()
    played.failure = RigError("the link never came up")
    outcome = judge(played)
    assert not outcome.ok
    assert outcome.as_json()["heard"] == ""
    assert "the link never came up" in json.dumps(outcome.as_json())
    render(tell(played, Scenery(), outcome, datetime.now(UTC)))


def test_a_missing_record_is_no_crash(tmp_path: Path) -> None:
    played = scene(tmp_path)
    played.records.clear()
    assert {"Heard", "Interrupted"} <= set(failed(judge(played)))


def test_the_json_has_what_is_promised(tmp_path: Path) -> None:
    result = json.loads(json.dumps(judge(scene(tmp_path)).as_json()))
    wanted = {
        *("ok", "heard", "answer", "wake", "timeline_ms", "voice_to_voice_ms"),
        *("barge_in_stop_ms", "abort_after_wake_ms", "device", "turns"),
    }
    assert wanted <= set(result)
    assert result["device"]["identity"] == "02:00"
    assert [turn["tools"] for turn in result["turns"]] == [[], ["self.audio_speaker.set_volume"]]


def test_the_report_shows_both_turns(tmp_path: Path) -> None:
    played = scene(tmp_path)
    outcome = judge(played)
    report = tell(played, Scenery(), outcome, datetime(2026, 11, 22, 12, 0, tzinfo=UTC))
    assert [turn.heard for turn in report.turns] == [turn.heard for turn in outcome.turns]
    assert {"wake", "abort", "volume", "transcript", "heard"} <= {m.name for m in report.marks}
    heard = [mark.sample for mark in report.marks if mark.name == "heard"]
    assert heard == [turn.heard_first for turn in outcome.turns]
    page = render(report)
    assert "Turn 2" in page
    assert report.cleaned is not None
    assert {curve.name for curve in report.curves} == {"echo removed", "noise floor", "gain"}
    assert "after the device&#x27;s cleaner" in page
    assert "22 November 2026" in page


def test_words_are_compared_without_case_and_punctuation() -> None:
    assert words("Ill-disposed, he WAS!") == ["ill", "disposed", "he", "was"]
    assert words("30%") == words("thirty percent") == ["thirty", "percent"]
    assert words("2 plus 19 is 21.") == words("Two plus nineteen is twenty one")
    assert words("0, 99, 100 and 007") == ["zero", "ninety", "nine", "100", "and", "007"]


def test_the_word_error_rate_counts() -> None:
    assert word_error_rate(list("abcd"), list("abcd")) == 0
    assert word_error_rate(list("abcd"), list("xabd")) == 0.5
    assert word_error_rate(list("ab"), []) == 1
    assert word_error_rate([], list("ab")) == 2


def test_the_script_refuses_a_wrong_recording_first(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="there is no file"):
        write_script(Wanted(wav=tmp_path / "none.wav"))


def test_missing_models_say_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARKEN_MODELS", str(tmp_path))
    with pytest.raises(ModelMissingError) as missing:
        write_script(Wanted())
    assert "harken models pull piper-joe" in missing.value.hint
    with pytest.raises(ModelMissingError) as missing:
        wake_model("okay_nabu", tmp_path)
    assert "harken models pull okay-nabu" in missing.value.hint


def test_two_questions_at_once_are_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(demo, ["--wav", str(tmp_path), "--say", "hello"])
    assert isinstance(result.exception, ConfigError)


def test_an_unknown_wake_word_names_the_known_ones() -> None:
    result = CliRunner().invoke(demo, ["--wake", "computer"])
    assert result.exit_code == 2
    assert "okay_nabu" in result.output
