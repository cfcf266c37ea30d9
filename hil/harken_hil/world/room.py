"""A shoebox room: impulse responses between its places, by the image-source method.

Source: Allen and Berkley, "Image method for efficiently simulating small-room acoustics", JASA
65(4), 1979, as implemented by pyroomacoustics.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from harken.errors import RigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATE = 16_000
SPEED_OF_SOUND_M_S = 343.0
# Above this order an echo in a furnished room is far below any noise floor used here, and the
# number of image sources grows with its cube.
_HIGHEST_ORDER = 14


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
        taps: float64 [n], 16 kHz; the direct sound has amplitude 1.
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
        taps, lead = _image_sources(self, source)
        delay = round(source.distance_m(self.device) / SPEED_OF_SOUND_M_S * RATE)
        taps = taps[lead : lead + round(self.rt60_s * RATE)]
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
    box.compute_rir()
    lead = int(acoustics.constants.get("frac_delay_length")) // 2
    return np.asarray(box.rir[0][0], np.float64), lead


def quiet_room() -> Room:
    """A furnished living room, the device on a table, a person 1.7 m away."""
    return Room(
        size=Place(4.2, 3.4, 2.6),
        rt60_s=0.25,
        device=Place(1.8, 1.0, 0.90),
        loudspeaker=Place(1.8, 1.0, 0.84),
        talker=Place(2.3, 2.5, 1.5),
    )
