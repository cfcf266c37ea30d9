"""A shoebox room: impulse responses between its places.

Early reflections come from the image-source method: Allen and Berkley, "Image method for
efficiently simulating small-room acoustics", JASA 65(4), 1979, as implemented by pyroomacoustics.
Late ones, of which there are too many to count, are noise that dies away exponentially: Polack, "La
transmission de l'énergie sonore dans les salles", 1988.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from scipy import signal as _signal  # type: ignore[import-untyped]

from harken.errors import RigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATE = 16_000
SPEED_OF_SOUND_M_S = 343.0
# The number of image sources grows with the cube of their order.
_HIGHEST_ORDER = 14
# The tail is as loud as what the images had during this time, and takes over within it.
_CROSSING_S = 0.02
_NEAREST_WALL_M = 0.05
# Images all have the same sign, and so too much of what no room carries.
_LOWEST_HZ = 40.0

signal = cast("Any", _signal)


class Place(NamedTuple):
    """A point in a room, metres from its south-west corner on the floor."""

    x: float
    y: float
    z: float

    def distance_m(self, other: Place) -> float:
        """Straight-line distance to `other`."""
        return math.dist(self, other)


@dataclass(frozen=True, slots=True)
class Response:
    """How a sound at one place arrives at another.

    Attributes:
        taps: float64 [n], 16 kHz, as long as the reverberation takes to fall by 60 dB; the direct
            sound has amplitude 1.
        delay: samples until the direct sound arrives.
    """

    taps: NDArray[np.float64]
    delay: int


@dataclass(frozen=True, slots=True)
class Room:
    """A rectangular room with even walls.

    Attributes:
        size: width, depth and height in metres.
        rt60_s: time in which a sound dies away by 60 dB.
        device: where the device's microphone stands.
        loudspeaker: where its loudspeaker is, a few centimetres from the microphone.
        talker: where a person talks from unless told otherwise.
    """

    size: Place
    rt60_s: float
    device: Place
    loudspeaker: Place
    talker: Place

    def response(self, source: Place) -> Response:
        """The impulse response from `source` to the device's microphone.

        Raises:
            RigError: the place is outside the room, or the room cannot sound as asked.
        """
        for name, place in (("source", source), ("device", self.device)):
            if not all(0 < at < side for at, side in zip(place, self.size, strict=True)):
                raise RigError(
                    f"the {name} at {tuple(place)} m is outside the room of {tuple(self.size)} m",
                    hint="give a place between 0 and the room's size on every axis",
                )
        images, lead = _image_sources(self, source)
        delay = round(source.distance_m(self.device) / SPEED_OF_SOUND_M_S * RATE)
        taps = _with_tail(images[lead:], self, source, delay)
        # Level is set by whoever speaks, so that moving a talker changes the room, not the level.
        direct = float(np.max(np.abs(taps[: delay + 2])))
        return Response(taps / direct, delay)


def _image_sources(room: Room, source: Place) -> tuple[NDArray[np.float64], int]:
    """Raw taps and the samples by which the method's interpolation filter delays them."""
    # pyroomacoustics has no type information.
    import pyroomacoustics  # type: ignore[import-untyped]

    acoustics = cast("Any", pyroomacoustics)
    try:
        absorption, order = acoustics.inverse_sabine(room.rt60_s, list(room.size))
    except ValueError as error:
        raise RigError(
            f"a room of {tuple(room.size)} m cannot have a reverberation of {room.rt60_s} s",
            hint="take a larger room or a longer reverberation",
        ) from error
    box = acoustics.ShoeBox(
        list(room.size),
        fs=RATE,
        materials=acoustics.Material(absorption),
        max_order=min(order, _HIGHEST_ORDER),
    )
    box.add_source(list(source))
    box.add_microphone(list(room.device))
    filtered = acoustics.constants.get("rir_hpf_enable")
    # Its own filter has no phase, and so is heard before the sound.
    acoustics.constants.set("rir_hpf_enable", False)
    try:
        box.compute_rir()
    finally:
        acoustics.constants.set("rir_hpf_enable", filtered)
    lead = int(acoustics.constants.get("frac_delay_length")) // 2
    sections = signal.butter(2, _LOWEST_HZ, "highpass", fs=RATE, output="sos")
    return cast("NDArray[np.float64]", signal.sosfilt(sections, box.rir[0][0])), lead


def _with_tail(
    images: NDArray[np.float64], room: Room, source: Place, delay: int
) -> NDArray[np.float64]:
    """The images' reflections, going over into diffuse sound once images begin to be missing."""
    whole = delay + round(room.rt60_s * RATE)
    taps = np.zeros(whole)
    some = min(whole, len(images))
    taps[:some] = images[:some]
    # All paths up to this length have been followed: a sphere inside the octahedron of the orders.
    complete_m = _HIGHEST_ORDER / math.sqrt(sum(1 / side**2 for side in room.size))
    start = round((complete_m / SPEED_OF_SOUND_M_S - _CROSSING_S) * RATE)
    crossing = round(_CROSSING_S * RATE)
    if start + crossing >= some:
        return taps
    # The same places give the same noise, whoever asks.
    seed = zlib.crc32(repr((room.size, room.rt60_s, room.device, source)).encode())
    decay = 10 ** (-3 * np.arange(whole - start) / (room.rt60_s * RATE))
    tail = np.random.default_rng(seed).standard_normal(whole - start) * decay
    before = math.sqrt(float(np.mean(taps[start : start + crossing] ** 2)))
    tail *= before / math.sqrt(float(np.mean(tail[:crossing] ** 2)))
    turn = np.linspace(0, math.pi / 2, crossing)
    tail[:crossing] *= np.sin(turn)
    taps[start : start + crossing] *= np.cos(turn)
    taps[start + crossing :] = 0
    taps[start:] += tail
    return taps


def quiet_room() -> Room:
    """A furnished living room, the device on a table, a person 1.7 m away."""
    return Room(
        size=Place(4.2, 3.4, 2.6),
        rt60_s=0.25,
        device=Place(1.8, 1.0, 0.90),
        loudspeaker=Place(1.8, 1.0, 0.84),
        talker=Place(2.3, 2.5, 1.5),
    )


def reverberant_room() -> Room:
    """A large living room with bare walls, the device on a shelf, a person 1 m away."""
    return Room(
        size=Place(5.6, 4.3, 2.7),
        rt60_s=0.5,
        device=Place(2.1, 0.30, 1.05),
        loudspeaker=Place(2.1, 0.30, 0.99),
        talker=Place(2.5, 1.15, 1.35),
    )


def random_room(rng: np.random.Generator) -> Room:
    """A room as people have them.

    2.5 to 7 m long, reverberation from 0.15 to 0.8 s; the device on a table or within half a metre
    of a wall, its loudspeaker 3 to 12 cm from its microphone, a talker 0.3 to 4 m away.

    Args:
        rng: where chance comes from; the same state gives the same room.
    """
    size = Place(rng.uniform(2.5, 7), rng.uniform(2.5, 6), rng.uniform(2.3, 3.2))
    device = _device_place(rng, size)
    return Room(
        size=size,
        rt60_s=float(rng.uniform(0.15, 0.8)),
        device=device,
        loudspeaker=_place_around(rng, size, device, (0.03, 0.12)),
        talker=_place_around(rng, size, device, (0.3, 4.0), heights=(0.9, 1.9)),
    )


def _device_place(rng: np.random.Generator, size: Place) -> Place:
    x, y = (float(rng.uniform(0.5, side - 0.5)) for side in size[:2])
    if rng.random() < 0.5:
        x = float(rng.uniform(_NEAREST_WALL_M + 0.05, 0.5))
    return Place(x, y, float(rng.uniform(0.5, 1.3)))


def _place_around(
    rng: np.random.Generator,
    size: Place,
    centre: Place,
    distances: tuple[float, float],
    heights: tuple[float, float] | None = None,
) -> Place:
    """Somewhere in the room at a distance from `centre` that is drawn first, evenly."""
    distance = float(rng.uniform(*distances))
    while True:
        way = rng.standard_normal(3)
        at = np.asarray(centre) + way * distance / np.linalg.norm(way)
        if heights is not None:
            at[2] = np.clip(at[2], *heights)
        place = Place(*map(float, at))
        near, far = distances
        inside = all(
            _NEAREST_WALL_M <= p <= side - _NEAREST_WALL_M
            for p, side in zip(place, size, strict=True)
        )
        if inside and near <= place.distance_m(centre) <= far:
            return place
        # In a small room a far place may not exist: come nearer until one does.
        distance = max(near, distance * 0.97)
