"""Boards with an ESP32-S3. Checked against the port's stubs; run by no test."""

import esp32

from harken_device.hal.chip import ChipBoard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from board_face import Board as BoardFace

    def _offers_everything(board: "Board") -> BoardFace:
        return board


class Slots:
    """The two application partitions."""

    def active(self) -> str:
        """Label of the partition that runs, e.g. "ota_0"."""
        label = esp32.Partition(esp32.Partition.RUNNING).info()[4]
        assert isinstance(label, str)
        return label

    def confirm(self) -> None:
        """Keep this firmware; without partitions for updates there is nothing to go back to."""
        try:
            esp32.Partition.mark_app_valid_cancel_rollback()
        except OSError:
            return


class Board(ChipBoard):
    """An ESP32-S3 board."""

    def __init__(self, description: "dict[str, Any]") -> None:
        super().__init__(description)
        self.slots = Slots()
