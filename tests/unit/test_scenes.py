"""Rooms, loudspeakers and mixtures have the properties that measurements rest on."""

from __future__ import annotations

import numpy as np
import pytest

from harken.errors import RigError
from harken_models.scenes.loudspeaker import Loudspeaker
from harken_models.scenes.mix import active_rms, at_snr, echo_scene, level, skewed
from harken_models.scenes.room import Place, Room, quiet_room, random_room, reverberant_room

RATE = 16_000


def tone(hz: float, seconds: float = 1.0, amplitude: float = 8_000) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)


def db(ratio: float) -> float:
    return float(20 * np.log10(ratio))


def harmonic_distortion(played: np.ndarray, hz: int) -> float:
    spectrum = np.abs(np.fft.rfft(played))
    harmonics = spectrum[2 * hz :: hz][: RATE // 2 // hz - 2]
    return float(np.sqrt(np.sum(harmonics**2)) / spectrum[hz])


@pytest.mark.parametrize("rt60_s", [0.15, 0.25, 0.5, 0.8])
def test_a_room_dies_away_in_the_time_that_was_asked_for(rt60_s: float) -> None:
    room = Room(Place(5, 4, 2.6), rt60_s, Place(2, 1, 0.9), Place(2, 1, 0.84), Place(2.6, 2.5, 1.5))
    response = room.response(room.talker)
    late = response.taps[response.delay + 40 :]
    left = 10 * np.log10(np.cumsum(late[::-1] ** 2)[::-1] / np.sum(late**2))
    measured = 3 * (np.argmax(left < -25) - np.argmax(left < -5)) / RATE
    assert measured == pytest.approx(rt60_s, rel=0.3)
    assert len(response.taps) == response.delay + round(rt60_s * RATE)
    assert np.abs(response.taps[response.delay - 1 : response.delay + 2]).max() == 1


def test_the_same_places_sound_the_same_and_others_do_not() -> None:
    room = reverberant_room()
    again = reverberant_room().response(room.talker).taps
    assert np.array_equal(room.response(room.talker).taps, again)
    moved = room.response(Place(2.6, 1.2, 1.4)).taps
    assert not np.allclose(moved[4000:6000], again[4000:6000])


def test_random_rooms_are_rooms() -> None:
    rng = np.random.default_rng(7)
    rooms = [random_room(rng) for _ in range(300)]
    for room in rooms[:40]:
        assert np.all(np.isfinite(room.response(room.talker).taps))
        assert np.all(np.isfinite(room.response(room.loudspeaker).taps))
    for room in rooms:
        assert 0.15 <= room.rt60_s <= 0.8
        assert 0.3 <= room.talker.distance_m(room.device) <= 4
        assert 0.03 <= room.loudspeaker.distance_m(room.device) <= 0.12
    distances = [room.talker.distance_m(room.device) for room in rooms]
    assert min(distances) < 0.6
    assert max(distances) > 3
    assert random_room(np.random.default_rng(3)) == random_room(np.random.default_rng(3))


def test_a_clean_loudspeaker_changes_nothing_in_its_band() -> None:
    sound = tone(1000)
    played = Loudspeaker().play(sound)
    assert db(np.std(played[4000:]) / np.std(sound[4000:])) == pytest.approx(0, abs=0.3)
    assert np.std(Loudspeaker().play(tone(50))[4000:]) < 0.1 * np.std(sound)
    assert np.array_equal(Loudspeaker(0, None).play(sound), sound)


def test_distortion_grows_with_the_parameter_and_with_the_level() -> None:
    loud, soft = tone(500, amplitude=32_000), tone(500, amplitude=3_000)
    grown = [harmonic_distortion(Loudspeaker(d, None).play(loud), 500) for d in (0.0, 0.2, 0.5, 1)]
    assert grown == sorted(grown)
    assert grown[0] < 1e-6
    assert 0.02 < grown[1] < 0.04
    assert 0.1 < grown[3] < 0.2
    assert harmonic_distortion(Loudspeaker(1, None).play(soft), 500) < 0.02
    # Even harmonics too: the speaker is not symmetrical.
    spectrum = np.abs(np.fft.rfft(Loudspeaker(0.5, None).play(loud)))
    assert spectrum[1000] > 0.01 * spectrum[500]


def test_a_loudspeaker_goes_on_from_block_to_block() -> None:
    sound = np.random.default_rng(1).standard_normal(1600) * 6000
    whole = Loudspeaker(0.7).play(sound)
    speaker = Loudspeaker(0.7)
    parts = np.concatenate([speaker.play(sound[at : at + 160]) for at in range(0, 1600, 160)])
    assert np.allclose(whole, parts)
    speaker.reset()
    assert np.allclose(speaker.play(sound), whole)


@pytest.mark.parametrize(
    ("distortion", "band"), [(-0.1, None), (1.1, None), (0.5, (300, 200)), (0.5, (100, 8000))]
)
def test_a_loudspeaker_that_cannot_be_is_refused(
    distortion: float, band: tuple[float, float] | None
) -> None:
    with pytest.raises(RigError):
        Loudspeaker(distortion, band)


def test_pauses_do_not_make_a_talker_louder() -> None:
    speech = np.concatenate([tone(300), np.zeros(3 * RATE)])
    assert active_rms(speech) == pytest.approx(8000 / np.sqrt(2), rel=0.01)
    at = level(speech, -26)
    assert db(active_rms(at) / 32_768) == pytest.approx(-26, abs=0.01)
    assert not level(np.zeros(500), -26).any()
    assert active_rms(np.zeros(0)) == 0


def test_noise_is_as_far_below_the_speech_as_asked() -> None:
    speech = np.concatenate([tone(300), np.zeros(RATE)])
    noise = np.random.default_rng(1).standard_normal(RATE // 3)
    added = at_snr(speech, noise, 12) - speech
    assert len(added) == len(speech)
    assert db(active_rms(speech) / np.std(added)) == pytest.approx(12, abs=0.1)
    with pytest.raises(RigError):
        at_snr(speech, np.zeros(0), 3)


@pytest.mark.parametrize(("ppm", "delay"), [(0, 0), (0, 10.5), (100, 10.25), (-100, 3), (300, 0)])
def test_a_skewed_clock_plays_the_same_sound_at_another_rate(ppm: float, delay: float) -> None:
    sound, n = tone(3000, 10), np.arange(10 * RATE)
    wanted = 8000 * np.sin(2 * np.pi * 3000 * (n - delay) * (1 + ppm * 1e-6) / RATE)
    away = np.abs(skewed(sound, ppm, delay) - wanted)[100:-200]
    assert away.max() < 4


def test_a_scene_is_the_sum_of_its_parts_at_the_levels_asked_for() -> None:
    rng = np.random.default_rng(2)
    far = rng.standard_normal(3 * RATE) * 4000
    near = np.concatenate([np.zeros(RATE), tone(400), np.zeros(RATE)])
    scene = echo_scene(rng, far, near, reverberant_room(), Loudspeaker(0.5), 80, 10)
    total = scene.echo + scene.near + scene.noise
    assert np.abs(np.clip(total, -32_768, 32_767) - scene.mic).max() <= 0.5
    assert db(active_rms(scene.echo) / active_rms(scene.near)) == pytest.approx(10, abs=0.01)
    assert db(active_rms(scene.near) / 32_768) == pytest.approx(-26, abs=0.01)
    assert db(float(np.std(scene.noise)) / 32_768) == pytest.approx(-72, abs=0.1)
    assert np.array_equal(scene.reference, np.clip(np.rint(far), -32_768, 32_767))
    # The echo comes after the delay and not before, and is the reference's.
    assert np.abs(scene.echo[: scene.delay - 40]).max() < 0.02 * np.abs(scene.echo).max()
    lags = np.correlate(scene.echo[: RATE + 2000], far[:RATE], "valid")
    assert abs(int(np.argmax(np.abs(lags))) - scene.delay) <= 4
    assert np.abs(scene.near[: RATE - 40]).max() < 1e-3 * np.abs(scene.near).max()


def test_a_scene_is_the_same_each_time() -> None:
    def once() -> np.ndarray:
        rng = np.random.default_rng(5)
        far = rng.standard_normal(RATE) * 4000
        room = random_room(rng)
        return echo_scene(rng, far, None, room, Loudspeaker(0.3), 12.5, 5, 100).mic

    assert np.array_equal(once(), once())


def test_an_echo_before_its_sound_is_refused() -> None:
    rng = np.random.default_rng(5)
    with pytest.raises(RigError, match="early"):
        echo_scene(rng, np.zeros(160), None, quiet_room(), Loudspeaker(), -5, 5)
