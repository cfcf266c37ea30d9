"""Scores of the benches of hearing, on sounds and answers whose score is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harken.errors import ConfigError, RigError
from harken_hil.bench.hearing_tables import filled
from harken_hil.bench.measure import Goal, counted
from harken_models.measure.detectors import Heard
from harken_models.measure.echo_matrix import cases as echo_cases
from harken_models.measure.echo_scores import erle_db, word_errors
from harken_models.measure.scores import area_under_roc, roc
from harken_models.measure.speech_streams import QUIET, SpeechCase, SpeechStream
from harken_models.measure.vad_scores import best_lead, end_lags_ms, stream_auc
from harken_models.measure.wake_models import WakeModel, detections
from harken_models.scenes.labels import SILENCE, SPEECH, UNSURE, speech_hops
from harken_models.scenes.noises import KINDS, noise_of

RATE = 16_000


def stream_of(labels: np.ndarray[tuple[int], np.dtype[np.int8]], end: int) -> SpeechStream:
    case = SpeechCase(0, QUIET, 60.0, reverberant=False, seconds=len(labels) / 100)
    samples = np.zeros(len(labels) * 160, np.int16)
    return SpeechStream(case, samples, labels, (end,), (len(labels) - end,))


def heard_of(flags: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Heard:
    return Heard(flags.astype(np.float64), flags)


def test_area_under_roc_of_known_orders() -> None:
    truth = np.array([True, True, False, False])
    assert area_under_roc(np.array([4, 3, 2, 1]), truth) == 1.0
    assert area_under_roc(np.array([1, 2, 3, 4]), truth) == 0.0
    assert area_under_roc(np.array([1, 1, 1, 1]), truth) == 0.5
    assert area_under_roc(np.array([4, 2, 3, 1]), truth) == 0.75


def test_the_curve_has_the_area() -> None:
    rng = np.random.default_rng(3)
    truth = rng.random(5_000) < 0.3
    scores = np.round(rng.standard_normal(5_000) + truth, 1)
    alarms, hits = roc(scores, truth, points=5_000)
    assert alarms[-1] == hits[-1] == 1.0
    assert np.trapezoid(hits, alarms) == pytest.approx(area_under_roc(scores, truth), abs=1e-9)


def test_erle_is_the_echo_over_what_is_left() -> None:
    rng = np.random.default_rng(1)
    echo = rng.standard_normal(RATE) * 3_000
    left = np.rint(echo / 10).astype(np.int16)
    whole, quiet = slice(0, RATE), np.zeros(RATE)
    assert erle_db(echo, quiet, left, whole) == pytest.approx(20.0, abs=0.1)
    assert erle_db(echo, quiet, np.zeros(RATE, np.int16), whole) < 80


def test_erle_is_not_won_by_suppressing_the_room_s_noise() -> None:
    rng = np.random.default_rng(2)
    echo, noise = rng.standard_normal((2, RATE)) * np.array([[3_000], [30]])
    whole = slice(0, RATE)
    perfect = erle_db(echo, noise, np.rint(noise).astype(np.int16), whole)
    silent = erle_db(echo, noise, np.zeros(RATE, np.int16), whole)
    # What leaks in one half is not made up for by silence in the other.
    leak = np.concatenate([np.rint(echo[: RATE // 2] / 10), np.zeros(RATE // 2)]).astype(np.int16)
    assert perfect == pytest.approx(40.0, abs=0.2)
    assert silent == pytest.approx(perfect, abs=0.01)
    assert erle_db(echo, noise, leak, whole) == pytest.approx(23.0, abs=0.2)


def test_words_are_compared_by_edits() -> None:
    assert word_errors(["a", "b", "c"], ["a", "b", "c"]) == 0
    assert word_errors(["a", "b", "c"], []) == 3
    assert word_errors(["a", "b"], ["a", "x", "b", "y"]) == 2
    assert word_errors(["a", "b", "c"], ["b", "c"]) == 1


def test_a_late_score_is_moved_back_by_its_lead() -> None:
    labels = np.zeros(400, np.int8)
    labels[100:200] = SPEECH
    late = np.zeros(400, np.bool_)
    late[103:203] = True
    stream, heard = stream_of(labels, 200), heard_of(late)
    assert best_lead([stream], [heard]) == 3
    assert stream_auc(stream, heard, 3) == 1.0
    assert stream_auc(stream, heard, 0) < 1.0


@pytest.mark.parametrize("hops", [-20, 0, 7, 90])
def test_the_lag_of_an_end_is_found_early_or_late(hops: int) -> None:
    labels = np.zeros(400, np.int8)
    labels[100:200] = SPEECH
    flags = np.zeros(400, np.bool_)
    flags[100 : 200 + hops] = True
    assert end_lags_ms(stream_of(labels, 200), heard_of(flags)) == [10.0 * hops]


def test_a_short_gap_is_no_end_and_silence_has_no_lag() -> None:
    labels = np.zeros(400, np.int8)
    labels[100:200] = SPEECH
    flags = np.zeros(400, np.bool_)
    flags[100:205] = flags[210:220] = True
    assert end_lags_ms(stream_of(labels, 200), heard_of(flags)) == [200.0]
    assert end_lags_ms(stream_of(labels, 200), heard_of(np.zeros(400, np.bool_))) == []


def test_detections_count_once_a_second() -> None:
    means = np.zeros(300)
    means[[50, 51, 60, 200]] = 0.9
    assert detections(means, 0.5) == 2
    assert detections(means, 0.95) == 0


def test_the_mean_of_the_newest_probabilities() -> None:
    model = WakeModel("x", "X", Path("x.tflite"), 0.5, 4)
    means = model.means(np.array([255, 255, 0, 0, 255], np.uint8))
    assert means.tolist() == [0.25, 0.5, 0.5, 0.5, 0.5]


def test_speech_is_where_a_clean_recording_is_loud() -> None:
    rng = np.random.default_rng(2)
    clip = rng.standard_normal(3 * RATE) * 10
    clip[RATE : 2 * RATE] += rng.standard_normal(RATE) * 3_000
    labels = speech_hops(clip.astype(np.int16))
    assert labels is not None
    assert set(labels[:97]) == {SILENCE}
    assert set(labels[103:197]) == {SPEECH}
    assert set(labels[203:]) == {SILENCE}
    assert UNSURE in labels[97:103]


def test_a_recording_in_noise_has_no_truth() -> None:
    rng = np.random.default_rng(2)
    clip = rng.standard_normal(3 * RATE) * 1_000
    clip[RATE : 2 * RATE] *= 4
    assert speech_hops(clip.astype(np.int16)) is None


@pytest.mark.parametrize("kind", KINDS)
def test_noise_is_drawn_anew_and_the_same_again(kind: str) -> None:
    first, second = (noise_of(kind, RATE, np.random.default_rng(seed)) for seed in (1, 2))
    assert np.array_equal(first, noise_of(kind, RATE, np.random.default_rng(1)))
    assert not np.array_equal(first, second)
    assert np.abs(first).max() == 16_384
    assert len(first) == RATE


def test_an_unknown_noise_is_refused() -> None:
    with pytest.raises(ConfigError, match="there are white"):
        noise_of("thunder", 10, np.random.default_rng(0))


def test_the_matrix_of_echo_meets_everything_and_nobody_talks_to_himself() -> None:
    every = echo_cases(72)
    pairs = {(case.delay_ms, case.distortion) for case in every}
    assert len(pairs) == 18
    assert {case.echo_to_near_db for case in every} == {-6.0, 0.0, 6.0, 12.0}
    assert {case.skew_ppm for case in every} == {0.0, 100.0}
    assert all(case.far != case.near for case in every)
    assert len({case.seed for case in every}) == 72
    assert echo_cases(8) == every[:8]


def test_a_figure_that_is_counted_is_judged_as_its_goal_says() -> None:
    better = counted("x", "u", Goal("difference", ">=", -0.01), 0.985, rival=("theirs", 0.99))
    worse = counted("x", "u", Goal("difference", ">=", -0.01), 0.975, rival=("theirs", 0.99))
    assert better.met
    assert not worse.met
    assert counted("x", "u", Goal("ratio", "<=", 1.0), 2.0, rival=("theirs", 4.0)).ratio == 0.5
    assert counted("x", "u", Goal("ratio to floor", "<=", 0.5), 2.0, floor=("f", 4.0)).met
    with pytest.raises(RigError, match="something to compare"):
        counted("x", "u", Goal("ratio", "<=", 1.0), 2.0)


def test_tables_go_between_their_marks() -> None:
    page = "a\n<!-- x -->\nold\n<!-- /x -->\nb\n"
    assert filled(page, {"x": "new", "y": "z"}) == "a\n<!-- x -->\n\nnew\n\n<!-- /x -->\nb\n"
