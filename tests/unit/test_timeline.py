"""Stages of a turn in one clock."""

from __future__ import annotations

import msgspec
import pytest

from harken.session.timeline import DeviceClock, Timeline, TurnRecord


def test_stages_are_relative_to_the_end_of_speech() -> None:
    timeline = Timeline()
    timeline.stamp("downlink_first", 11.5)
    timeline.stamp("speech_end", 10.0)
    timeline.stamp("stt_final", 10.25)
    assert list(timeline.relative_ms().items()) == [
        ("speech_end", 0.0),
        ("stt_final", 250.0),
        ("downlink_first", 1_500.0),
    ]


def test_a_stage_is_stamped_once() -> None:
    timeline = Timeline()
    timeline.stamp("endpoint", 1.0)
    timeline.stamp("endpoint", 2.0)
    assert timeline.at("endpoint") == 1.0


def test_the_word_of_the_device_beats_ours() -> None:
    timeline = Timeline()
    timeline.stamp("speech_end", 5.0)
    timeline.stamp_device("speech_end", 4.2)
    timeline.stamp_device("speech_end", 9.9)
    timeline.stamp_device("nonsense", 1.0)
    assert timeline.at("speech_end") == 4.2


def test_without_an_end_of_speech_nothing_is_relative() -> None:
    timeline = Timeline()
    timeline.stamp("endpoint", 1.0)
    assert timeline.relative_ms() == {}


def test_clocks_are_joined_by_the_quickest_report() -> None:
    clock = DeviceClock()
    with pytest.raises(ValueError, match="empty"):
        clock.at(0)
    for samples, received_at in ((16_000, 101.050), (32_000, 102.004), (48_000, 103.200)):
        clock.join(samples, received_at)
    assert clock.at(24_000) == pytest.approx(101.504)


def test_a_clock_that_drifts_is_followed() -> None:
    clock = DeviceClock()
    for second in range(200):
        clock.join(16_000 * second, 100 + second * 1.0001)
    assert clock.at(16_000 * 199) == pytest.approx(100 + 199 * 1.0001, abs=0.002)


@pytest.mark.parametrize("days", [0, 1, 30])
def test_a_count_that_wraps_is_the_same_clock(days: int) -> None:
    clock = DeviceClock()
    wrap, began = 2**30, 1000.0
    clock.join(0, began)
    # Reports around the wrap, the last of them after days in which the device said nothing.
    for second in (67_105, 67_109, days * 86_400 + 67_112):
        count = 16_000 * second
        clock.join(count % wrap, began + second)
        for back in (0, 3 * 16_000):
            assert clock.at((count - back) % wrap) == pytest.approx(
                began + second - back / 16_000, abs=1e-6
            )


def test_a_stage_is_on_the_other_side_of_the_wrap() -> None:
    clock = DeviceClock()
    clock.join(8_000, 50.0)
    assert clock.at(2**30 - 8_000) == pytest.approx(49.0)


def test_a_record_is_json() -> None:
    record = TurnRecord(number=1, device="d", session="s", tools=("t",), stages={"endpoint": 1.5})
    again = msgspec.json.decode(msgspec.json.encode(record), type=TurnRecord)
    assert again == record
