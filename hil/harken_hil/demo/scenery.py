"""Where the demo plays: the room, how loud the device is in it, and what else sounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from harken_hil.world import Place, Room, World, quiet_room, reverberant_room

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["RoomName", "Scenery"]

RoomName = Literal["living", "reverberant"]

_ROOMS: Final = {"living": quiet_room, "reverberant": reverberant_room}
# A device that stands where it hears itself better than anybody else: what it plays arrives as loud
# as it was played, and so some 10 dB louder than somebody who talks to it.
_LOUD_COUPLING_DB = 0.0
_LOUD_DISTORTION = 0.4
_LOUD_TALKER_DBFS = -30.0
_MUSIC_DBFS = -38.0
_LONGEST_MUSIC_S = 120


@dataclass(frozen=True, slots=True)
class Scenery:
    """What the user of the demo asked for.

    Attributes:
        room: its size and reverberation.
        loud: the device's loudspeaker is louder at its microphone than the talker, and distorts.
        music: somebody else's music plays in the room.
    """

    room: RoomName = "living"
    loud: bool = False
    music: bool = False

    def world(self) -> World:
        """The world, its clock at 0.

        Raises:
            StartError: the music is not installed.
        """
        room: Room = _ROOMS[self.room]()
        if self.loud:
            world = World(
                room,
                coupling_db=_LOUD_COUPLING_DB,
                distortion=_LOUD_DISTORTION,
                talker_dbfs=_LOUD_TALKER_DBFS,
            )
        else:
            world = World(room)
        if self.music:
            corner = Place(room.size.x - 0.4, room.size.y - 0.4, 0.8)
            world.play(_music(), 0, place=corner, level_dbfs=_MUSIC_DBFS)
        return world

    @property
    def title(self) -> str:
        """In words, for "in …"."""
        kind = {"living": "quiet room", "reverberant": "reverberant room"}[self.room]
        return f"a simulated {kind}" + (" with music" if self.music else "")

    @property
    def device(self) -> str:
        """The device, in words that begin a sentence."""
        return "A loud simulated device" if self.loud else "A simulated device"


def _music() -> NDArray[np.int16]:
    from harken_models.scenes import corpora

    piece = next(iter(corpora.music("test")))
    return piece.samples[: _LONGEST_MUSIC_S * corpora.RATE]
