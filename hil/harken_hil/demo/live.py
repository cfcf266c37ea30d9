"""Prints what happens while it happens."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from harken.errors import printable
from harken_hil.board.sim_board import RATE

if TYPE_CHECKING:
    from rich.console import Console

    from harken_hil.board.sim_board import Mark
    from harken_hil.demo.scene import Scene

__all__ = ["Live"]

_LOOK_S = 0.03
_COLOURS = {"talker": "bold cyan", "device": "green", "gateway": "blue", "demo": "magenta"}


class Live:
    """One line for each thing worth telling, stamped with the device's clock.

    Args:
        console: where to; a quiet one prints nothing.
    """

    def __init__(self, console: Console) -> None:
        self._console = console

    def tell(self, who: str, what: str, sample: int | None = None) -> None:
        """Print a line."""
        from rich.text import Text

        stamp = f"{sample / RATE:7.2f} s  " if sample is not None else " " * 11
        line = Text(stamp, style="dim").append(f"{who:<8} ", style=_COLOURS.get(who, ""))
        self._console.print(line.append(printable(what), style="default"), soft_wrap=True)

    async def follow(self, scene: Scene) -> None:
        """Tell what is marked and asked, until cancelled."""
        told_marks = told_words = 0
        while True:
            spoken = scene.world.utterances
            while told_words < len(spoken) and spoken[told_words].onset <= scene.world.position:
                heard = spoken[told_words]
                self.tell("talker", f"“{heard.text or 'a recording'}”", heard.onset)
                told_words += 1
            for mark in scene.board.marks[told_marks:]:
                told_marks += 1
                what = _in_words(mark)
                if what:
                    self.tell("device", what, mark.sample)
            await asyncio.sleep(_LOOK_S)


def _in_words(mark: Mark) -> str:
    """What a mark means to people; empty for one that says nothing new to them."""
    value = printable(str(mark.value))
    said = {
        "state": f"is {value}",
        "wake": f"hears its name ({value})",
        "speech_end": "the question is over",
        "stt": f"was told: “{value}”" if mark.value else "was told that nothing was understood",
        "sentence": f"says: “{value}”",
        "heard": "begins to be heard",
        "barge_in": "hears somebody over its own answer",
        "stop": f"hears the stop word ({value})",
        "abort": f"falls silent ({value})",
        "volume": f"has volume {value}",
        "link": f"link {value}",
        "error": f"error: {value}",
    }
    return said.get(mark.name, "")
