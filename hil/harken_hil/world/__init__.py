"""The simulated world: rooms, the people who talk in them, and the device's own loudspeaker.

Everything here is computed, nothing recorded: a room is a shoebox by the image-source method, a
talker is a clip heard through that room, and what the device plays comes back into its microphone,
as a real loudspeaker would have it.
"""

from harken_hil.world.background import Colour
from harken_hil.world.world import SILENCE_PEAK, Utterance, World
from harken_models.scenes.room import Place, Room, quiet_room, reverberant_room

__all__ = [
    "SILENCE_PEAK",
    "Colour",
    "Place",
    "Room",
    "Utterance",
    "World",
    "quiet_room",
    "reverberant_room",
]
