"""Boards with an RP2040 or RP2350. Checked against the port's stubs; run by no test."""

from harken_device.hal.chip import ChipBoard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from board_face import Board as BoardFace

    def _offers_everything(board: "Board") -> BoardFace:
        return board


class Slots:
    """The port's images have one slot."""

    def active(self) -> str:
        """Its name."""
        return "a"

    def confirm(self) -> None:
        """There is nothing to go back to."""


class Board(ChipBoard):
    """A Pico W or Pico 2 W."""

    def __init__(self, description: "dict[str, Any]") -> None:
        super().__init__(description)
        self.slots = Slots()
