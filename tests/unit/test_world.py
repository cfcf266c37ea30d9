"""The room arrives at the microphone as it was asked for, sample by sample and every time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np
import pytest

from harken.errors import RigError
from harken_hil.speech import Clip
from harken_hil.world import Colour, Place, Room, World, quiet_room, reverberant_room

if TYPE_CHECKING:
    from numpy.typing import NDArray

SILENCE = np.zeros(160, np.int16)


def clip(seconds: float = 0.5, lead: int = 800) -> Clip:
    """A tone with silence before and after it."""
    tone = 8000 * np.sin(np.arange(round(seconds * 16_000)) * 2 * np.pi * 440 / 16_000)
    padded = np.concatenate([np.zeros(lead), tone, np.zeros(800)]).astype(np.int16)
    return Clip.of(padded, "a tone")


def hear(world: World, blocks: int, played: NDArray[np.int16] = SILENCE) -> NDArray[np.int16]:
    first = world.position // 160
    return np.concatenate([world.block(n, played) for n in range(first, first + blocks)])


def rms_dbfs(samples: NDArray[np.int16]) -> float:
    return float(20 * np.log10(np.sqrt(np.mean(samples.astype(np.float64) ** 2)) / 32_768))


def test_the_noise_floor_has_the_level_that_was_asked_for() -> None:
    assert rms_dbfs(hear(World(quiet_room(), noise_dbfs=-60), 200)) == pytest.approx(-60, abs=0.5)


def test_the_same_seed_gives_the_same_samples() -> None:
    def once(seed: int) -> NDArray[np.int16]:
        world = World(quiet_room(), seed=seed)
        world.speak(clip(), 1600)
        return hear(world, 100)

    assert np.array_equal(once(3), once(3))
    assert not np.array_equal(once(3), once(4))


def test_speech_begins_and_ends_where_the_world_says() -> None:
    world = World(quiet_room(), noise_dbfs=-96)
    utterance = world.speak(clip(), 1600)
    heard = hear(world, 200).astype(np.float64)
    assert utterance.onset == 1600 + 800
    assert utterance.end == utterance.onset + 8000
    assert np.abs(heard[: utterance.onset - 80]).max() < 30
    assert np.abs(heard[utterance.onset : utterance.onset + 80]).max() > 200
    # The room goes on after the talker, but more quietly.
    assert np.abs(heard[utterance.end + 800 : utterance.end + 1600]).max() > 0
    assert rms_dbfs(heard[utterance.end + 1600 :].astype(np.int16)) < -50


def test_the_talker_has_the_level_that_was_asked_for() -> None:
    world = World(quiet_room(), noise_dbfs=-96)
    utterance = world.speak(clip(), 0, level_dbfs=-30)
    speech = hear(world, 100)[utterance.onset : utterance.end]
    assert rms_dbfs(speech) == pytest.approx(-30, abs=0.1)


def test_two_people_may_speak_at_once() -> None:
    one, other, both = (World(quiet_room(), noise_dbfs=-120) for _ in range(3))
    for world in (one, both):
        world.speak(clip(), 800)
    for world in (other, both):
        world.speak(clip(0.3), 2400, place=Place(1.0, 2.0, 1.4))
    alone = hear(one, 100).astype(int) + hear(other, 100)
    assert np.abs(alone - hear(both, 100)).max() <= 2


def test_the_loudspeaker_comes_back_into_the_microphone() -> None:
    world = World(quiet_room(), noise_dbfs=-120, coupling_db=-20)
    click = SILENCE.copy()
    click[0] = 20_000
    heard = np.concatenate([world.block(0, click), hear(world, 3)])
    direct = quiet_room().loudspeaker.distance_m(quiet_room().device) / 343 * 16_000
    assert abs(int(np.argmax(np.abs(heard))) - direct) <= 1
    assert int(np.abs(heard).max()) == pytest.approx(2000, rel=0.05)


def test_the_echo_has_no_seam_between_blocks() -> None:
    noise = np.random.default_rng(1).integers(-9000, 9000, 800).astype(np.int16)
    world = World(quiet_room(), noise_dbfs=-120)
    echo = np.concatenate([world.block(n, noise[160 * n : 160 * n + 160]) for n in range(5)])
    taps = quiet_room().response(quiet_room().loudspeaker).taps * 10 ** (-26 / 20)
    assert np.abs(echo - np.convolve(noise, taps)[:800]).max() <= 1


def blockwise(world: World, played: NDArray[np.int16]) -> NDArray[np.int16]:
    count = len(played) // 160
    return np.concatenate([world.block(n, played[160 * n : 160 * n + 160]) for n in range(count)])


def test_the_whole_reverberation_of_the_loudspeaker_comes_back() -> None:
    room = reverberant_room()
    world = World(room, noise_dbfs=-120, coupling_db=0)
    click = np.zeros(160 * 60, np.int16)
    click[0] = 32_000
    echo = blockwise(world, click)
    taps = room.response(room.loudspeaker).taps
    assert len(taps) > 0.5 * 16_000
    assert np.abs(echo[: len(taps)] - 32_000 * taps).max() <= 1
    assert np.abs(echo[4000:8000]).max() > 8, "a quarter of a second later something is left"


def test_a_cheap_loudspeaker_adds_what_was_not_played() -> None:
    tone = (24_000 * np.sin(np.arange(16_000) * 2 * np.pi * 500 / 16_000)).astype(np.int16)

    def second_harmonic(world: World) -> float:
        spectrum = np.abs(np.fft.rfft(blockwise(world, tone)[8000:]))
        return float(spectrum[500] / spectrum[250])

    room = reverberant_room()
    assert second_harmonic(World(room, coupling_db=-6)) < 0.001
    assert second_harmonic(World(room, coupling_db=-6, distortion=0.6)) > 0.02


@pytest.mark.parametrize("ppm", [100, -100, 2000])
def test_a_loudspeaker_with_a_clock_of_its_own_drifts(ppm: float) -> None:
    seconds = 6
    rng = np.random.default_rng(3)
    noise = np.convolve(rng.standard_normal(seconds * 16_000), np.ones(4) / 4, "same")
    played = (noise * 5000).astype(np.int16)
    straight = blockwise(World(quiet_room(), noise_dbfs=-120, coupling_db=0), played)
    drifting = blockwise(World(quiet_room(), noise_dbfs=-120, coupling_db=0, skew_ppm=ppm), played)

    def lag(at: int) -> int:
        piece = straight[at : at + 800].astype(float)
        late = np.correlate(drifting[at : at + 800 + 600].astype(float), piece, "valid")
        assert late.max() > 0.7 * np.sum(piece**2), "the sound is still the same"
        return int(np.argmax(late))

    begin, end = lag(3200), lag(91_200)
    if abs(ppm) < 1000:
        assert end - begin == pytest.approx(-ppm * 1e-6 * 88_000, abs=1)
    else:
        # A buffer that would run dry plays a piece twice, and goes on.
        assert end - begin == pytest.approx(-ppm * 1e-6 * 88_000 + 160, abs=2)


@pytest.mark.parametrize("colour", ["white", "pink", "fan", "hum"])
def test_every_noise_has_its_level_from_the_first_block_on(colour: Colour) -> None:
    world = World(quiet_room(), noise_dbfs=-50, noise=colour)
    assert rms_dbfs(hear(world, 50)) == pytest.approx(-50, abs=2)
    assert rms_dbfs(hear(world, 500)) == pytest.approx(-50, abs=1)


def test_music_sounds_in_the_room_and_is_nobodys_words() -> None:
    world = World(quiet_room(), noise_dbfs=-96)
    rng = np.random.default_rng(5)
    music = (rng.standard_normal(16_000) * 3000).astype(np.int16)
    world.play(music, 1600, place=Place(0.5, 3.0, 1.0), level_dbfs=-35)
    heard = hear(world, 120)
    assert rms_dbfs(heard[:1500]) < -90
    assert rms_dbfs(heard[1600:17_600]) == pytest.approx(-35, abs=0.5)
    assert not world.utterances
    with pytest.raises(RigError, match="has passed"):
        world.play(music, 0, place=Place(0.5, 3.0, 1.0))


def test_a_blocks_order_is_kept() -> None:
    world = World(quiet_room())
    world.block(0, SILENCE)
    with pytest.raises(RigError, match="block 2"):
        world.block(2, SILENCE)


def test_nobody_speaks_in_the_past() -> None:
    world = World(quiet_room())
    hear(world, 10)
    with pytest.raises(RigError, match="has passed"):
        world.speak(clip(), 800)


def test_a_talker_outside_the_room_is_refused() -> None:
    with pytest.raises(RigError, match="outside the room"):
        World(quiet_room()).speak(clip(), 0, place=Place(9.0, 1.0, 1.0))


def test_a_room_that_cannot_be_is_refused() -> None:
    small = Room(Place(4, 3, 2), 0.01, Place(1, 1, 1), Place(1, 1, 0.9), Place(2, 2, 1.5))
    with pytest.raises(RigError, match="reverberation"):
        World(small)


async def test_waiting_for_the_clock_and_for_sound() -> None:
    world = World(quiet_room())
    loud = np.full(160, 5000, np.int16)

    async def run() -> None:
        for n in range(60):
            world.block(n, loud if 20 <= n < 30 else SILENCE)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        group.create_task(run())
        await world.reached(1600, within_s=5)
        assert world.position >= 1600
        heard = await world.heard(0, within_s=5)
        assert 20 * 160 <= heard < 30 * 160
        await world.hushed(1600, within_s=5)
        assert world.position >= 30 * 160 + 1600 - 160


async def test_waiting_ends() -> None:
    with pytest.raises(RigError, match="in vain"):
        await World(quiet_room()).heard(0, within_s=0.01)
