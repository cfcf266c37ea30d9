"""What the device makes of a voice activity model's answers."""

from __future__ import annotations

import numpy as np
import pytest

from harken_models.core import HOP, Vad

LOUD = 1000.0
YES, NO = 255, 0


def hop(level: float, rng: np.random.Generator) -> bytes:
    return (level * rng.standard_normal(HOP)).astype(np.int16).tobytes()


def flags(vad: Vad, answers: list[int], level: float = LOUD) -> list[int]:
    rng = np.random.default_rng(1)
    return [vad.step(hop(level, rng), answer) for answer in answers]


def speech(found: list[int]) -> list[bool]:
    return [bool(flag & Vad.SPEECH) for flag in found]


def utterance(found: list[int]) -> list[bool]:
    return [bool(flag & Vad.UTTERANCE) for flag in found]


def test_the_model_decides_whatever_the_energy_says() -> None:
    rng = np.random.default_rng(2)
    vad = Vad()
    steady = [vad.step(hop(LOUD, rng), -1) for _ in range(300)]
    assert not any(speech(steady)), "steady noise is no speech by its energy"
    assert all(speech([vad.step(hop(LOUD, rng), YES) for _ in range(5)]))
    louder = [vad.step(hop(20 * LOUD, rng), NO) for _ in range(20)]
    assert not any(speech(louder)[2:])


def test_energy_decides_where_the_model_says_nothing() -> None:
    rng = np.random.default_rng(3)
    vad, energy = Vad(), Vad()
    levels = [100.0] * 200 + [3000.0] * 50 + [100.0] * 100
    sound = [hop(level, rng) for level in levels]
    without = [energy.step(each, -1) for each in sound]
    assert any(speech(without))
    # A model that fell silent leaves nothing behind.
    for each in sound[:10]:
        vad.step(each, NO)
    vad.reset()
    assert [vad.step(each, -1) for each in sound] == without


def test_one_sure_answer_is_half_an_opinion_and_two_are_speech() -> None:
    assert speech(flags(Vad(), [NO, NO, 254, NO, NO])) == [False] * 5
    assert speech(flags(Vad(), [NO, NO, 200, 200, NO, NO])) == [False] * 3 + [True] + [False] * 2


def test_speech_ends_within_20_ms_of_the_models_answer() -> None:
    found = speech(flags(Vad(), [YES] * 50 + [NO] * 10))
    assert found == [True] * 51 + [False] * 9


def test_an_utterance_takes_three_hops_to_begin_and_goes_on_at_less() -> None:
    vad = Vad()
    vad.tune(-1, 100)
    assert not any(utterance(flags(vad, [NO, NO, 160, 160, NO, NO])))
    vad.reset()
    doubtful = 115  # under a half, over 0.4
    assert not any(speech(flags(vad, [doubtful] * 20)))
    vad.reset()
    found = flags(vad, [YES] * 3 + [doubtful] * 20 + [NO] * 30)
    assert utterance(found).index(True) == 2
    assert all(speech(found)[:23])
    assert utterance(found).count(True) == 23 - 2 + 10, "hang-over of 100 ms"


@pytest.mark.parametrize("level", [0.0, 0.2, 1.0])
def test_what_nobody_can_hear_is_no_speech(level: float) -> None:
    assert not any(flags(Vad(), [YES] * 50, level))


def test_a_faint_voice_over_digital_silence_is_speech() -> None:
    assert all(speech(flags(Vad(), [YES] * 50, 12.0)))


def test_what_falls_far_under_the_room_is_no_speech() -> None:
    rng = np.random.default_rng(4)
    vad = Vad()
    for _ in range(300):
        vad.step(hop(LOUD, rng), NO)
    muted = [vad.step(hop(LOUD / 10, rng), YES) for _ in range(1)]
    assert not any(speech(muted))


def test_the_floor_is_tracked_beside_the_model() -> None:
    with_model, without = Vad(), Vad()
    flags(with_model, [YES] * 300)
    flags(without, [-1] * 300)
    assert with_model.floor_db() == without.floor_db()


@pytest.mark.parametrize("answer", [-2, 256, 1 << 40])
def test_an_answer_out_of_range_is_refused(answer: int) -> None:
    with pytest.raises(ValueError, match="probability"):
        Vad().step(bytes(2 * HOP), answer)
