"""Where turns start and end, out of speech probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harken.audio.vad import Endpointer, SileroVad, VoiceEvent
from harken.errors import ModelFormatError, ModelMissingError

if TYPE_CHECKING:
    from pathlib import Path


def events(endpointer: Endpointer, probabilities: list[float]) -> list[tuple[int, VoiceEvent]]:
    """Window number -> what it started or ended."""
    pushed = enumerate(map(endpointer.push, probabilities))
    return [(number, event) for number, event in pushed if event is not None]


def make(**changes: float) -> Endpointer:
    settings = {"min_speech_ms": 60, "silence_ms": 100, "window_ms": 20, **changes}
    return Endpointer(**settings)  # type: ignore[arg-type]


def test_a_turn_starts_after_enough_speech_and_ends_after_enough_silence() -> None:
    found = events(make(), [0.1] * 3 + [0.9] * 10 + [0.1] * 10)
    assert found == [(5, VoiceEvent("start", 60)), (17, VoiceEvent("end", 100))]


def test_a_short_burst_is_noise() -> None:
    assert events(make(), ([0.9, 0.9] + [0.1] * 10) * 5) == []


def test_a_gap_inside_a_word_does_not_stop_the_start() -> None:
    found = events(make(), [0.9, 0.9, 0.1, 0.9, 0.9])
    assert found == [(3, VoiceEvent("start", 80))]


def test_a_pause_shorter_than_the_silence_does_not_end_the_turn() -> None:
    assert len(events(make(), [0.9] * 5 + [0.1] * 4 + [0.9] * 5 + [0.1] * 4)) == 1


def test_hysteresis_holds_a_turn_that_gets_softer() -> None:
    soft = make(threshold=0.6, release=0.3)
    assert [event.kind for _, event in events(soft, [0.9] * 3 + [0.4] * 50)] == ["start"]
    assert [event.kind for _, event in events(soft, [0.2] * 5)] == ["end"]
    assert events(soft, [0.4] * 50) == []


def test_a_release_above_the_threshold_is_taken_as_the_threshold() -> None:
    assert len(events(make(threshold=0.5, release=0.9), [0.6] * 30)) == 1


def test_turn_after_turn() -> None:
    kinds = [event.kind for _, event in events(make(), ([0.9] * 5 + [0.0] * 8) * 3)]
    assert kinds == ["start", "end"] * 3


def test_reset_forgets() -> None:
    endpointer = make()
    events(endpointer, [0.9] * 5)
    was_speaking = endpointer.speaking
    endpointer.reset()
    assert (was_speaking, endpointer.speaking) == (True, False)
    assert events(endpointer, [0.9, 0.9, 0.1]) == []


def test_a_model_that_is_not_there_or_not_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError, match="harken models pull silero-vad"):
        SileroVad(tmp_path / "none.onnx")
    pytest.importorskip("onnxruntime", reason="pip install 'harken[local]'")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model at all")
    with pytest.raises(ModelFormatError, match="onnxruntime"):
        SileroVad(broken)
