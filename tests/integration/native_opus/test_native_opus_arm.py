"""The Arm builds of `harken_opus`, on an emulated Cortex-M4F with a real MicroPython."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Operation, RunsOperations

# The first of these builds MicroPython for the emulated board, which takes half a minute.
pytestmark = [pytest.mark.integration, pytest.mark.native, pytest.mark.timeout(400)]

EVERY_ARM = pytest.mark.parametrize("board", ["armv6m", "armv7emsp"], indirect=True)


@EVERY_ARM
@pytest.mark.parametrize("complexity", [0, 5, 10])
def test_speech_is_the_same_on_arm(
    complexity: int, clip: bytes, board: RunsOperations, reference: RunsOperations
) -> None:
    operations: list[Operation] = [["new", 16000, 24000, complexity, 16000]]
    for offset in range(0, len(clip) // 2 - 319, 320):
        operations += [["encode", offset, 320, 1276], ["again", 320]]
    operations += [["tune", 12000, -1, 1, 20], ["encode", 8000, 960, 1276], ["fec", "", 960]]
    operations += [["decode", "", 320], ["decode", "ff", 320], ["reset"], ["encode", 0, 320, 100]]
    answers = board.run(operations)
    assert [status for status, _ in answers].count(-1) == 1
    assert answers == reference.run(operations)
