"""A device's ears and mouth in a world, block by block and as fast as the machine goes.

No network, no gateway and no clock: what the firmware hears, decides and plays is a function of
the world alone, and so the same each time, however busy the machine is.
"""

from harken_hil.lockstep.ears import Ears, Event

__all__ = ["Ears", "Event"]
