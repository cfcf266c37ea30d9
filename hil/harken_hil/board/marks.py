"""What a simulated board tells the rig, each with its moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Mark:
    """A stage that the device stamped.

    Attributes:
        name: e.g. "state" or "wake".
        sample: since power-on, 16 kHz.
        value: what belongs to it; None where nothing does.
    """

    name: str
    sample: int
    value: Any


@dataclass(frozen=True, slots=True)
class Led:
    """The colour that the device set, and when (samples since power-on)."""

    sample: int
    rgb: tuple[int, int, int]
