"""How much audio a device may be sent, on a clock that the test turns."""

from __future__ import annotations

import random

from harken.session.pacing import DEVICE_QUEUE_MS, Pacer


def fill(pacer: Pacer, now: float, frame_ms: int = 20) -> float:
    """Send all that is allowed; returns how much that was."""
    before = pacer.sent_ms
    while pacer.room_ms(now) >= frame_ms:
        pacer.sent(frame_ms, now)
    return pacer.sent_ms - before


def test_a_burst_then_real_time() -> None:
    pacer = Pacer(300)
    assert fill(pacer, 10.0) == 300
    assert fill(pacer, 10.0) == 0
    for eighth in range(1, 17):
        fill(pacer, 10.0 + eighth / 8)
        assert 280 < pacer.sent_ms - 125 * eighth <= 300


def test_a_device_that_ran_dry_is_not_flooded() -> None:
    pacer = Pacer(300)
    fill(pacer, 0.0)
    assert pacer.played_ms(5.0) == 300
    assert fill(pacer, 5.0) == 300
    assert pacer.played_ms(5.25) == 550


def test_the_word_of_the_device_counts() -> None:
    pacer = Pacer(300)
    fill(pacer, 0.0)
    pacer.report(40, 260, 0, 0.2)
    assert pacer.played_ms(0.2) == 40
    assert fill(pacer, 0.2) == 40


def test_a_stalled_device_is_not_sent_more() -> None:
    pacer = Pacer(300)
    fill(pacer, 0.0)
    pacer.report(100, 200, 0, 0.2)
    fill(pacer, 0.2)
    assert fill(pacer, 60.0) <= 500
    assert fill(pacer, 120.0) == 0


def test_a_device_that_says_it_stopped_is_believed() -> None:
    pacer = Pacer(300)
    fill(pacer, 0.0)
    pacer.report(137, 0, 0, 0.2, ended=True)
    assert pacer.played_ms(0.25) == pacer.played_ms(9.0) == 137
    pacer.sent(20, 1.0)
    assert pacer.played_ms(1.25) == 320


def test_a_device_cannot_pretend_to_play_faster_than_time() -> None:
    pacer = Pacer(300)
    fill(pacer, 0.0)
    for step in range(1, 11):
        now = step / 10
        pacer.report(10**12, 0, 0, now)
        fill(pacer, now)
    assert pacer.sent_ms <= 300 + 1_000 * 1.02 + 50


def test_late_packets_lengthen_the_lead_within_bounds() -> None:
    pacer = Pacer(300)
    fill(pacer, 0.0)
    for number in range(1, 50):
        pacer.report(number * 10, 100, number, number * 0.2)
    assert pacer.lead_ms == 1_200
    pacer.begin()
    assert pacer.lead_ms == 1_200
    assert pacer.sent_ms == 0


def test_a_starved_device_lengthens_the_lead() -> None:
    pacer = Pacer(300)
    fill(pacer, 0.0)
    pacer.report(200, 0, 0, 0.3)
    assert pacer.lead_ms == 400


def test_the_queue_of_a_board_never_overflows() -> None:
    """Whatever a slow, jittery device reports, it is never sent more than it can hold."""
    rng = random.Random(7)
    for _ in range(50):
        pacer, played, now = Pacer(rng.choice((60, 300, 2_400))), 0.0, 0.0
        speed = rng.uniform(0.98, 1.0)
        for _ in range(400):
            step = rng.uniform(0.005, 0.3)
            now += step
            if pacer.sent_ms:
                played = min(pacer.sent_ms, played + step * 1000 * speed)
            if rng.random() < 0.5:
                held = pacer.sent_ms - played
                pacer.report(int(played), int(held), rng.randrange(3), now)
            fill(pacer, now, 60)
            # Between reports the device is taken to play on: what it may lag is half a second.
            assert pacer.sent_ms - played <= DEVICE_QUEUE_MS + 510
