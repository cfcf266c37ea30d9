"""The simulated board: its flash image, how it boots, and the process that runs it."""

from harken_hil.board.flash_image import build_flash, read_flash
from harken_hil.board.sim_board import Led, Mark, MicSource, Silence, SimBoard

__all__ = ["Led", "Mark", "MicSource", "Silence", "SimBoard", "build_flash", "read_flash"]
