"""Tells what a user typed from wake words: some clients send both in the same message.

In xiaozhi's protocol `listen detect` carries the wake word that a board heard, and clients with a
keyboard send through it what was typed. A wake word that this gateway was told of is recognised
by its text. What else may be either, a board goes on to listen after its wake word, and a
keyboard does not.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from harken.links.link import Abort, ListenStart, ListenStop, SpeechStart, Text, Wake

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from harken.links.link import Downlink, Uplink

__all__ = ["HOLD_S", "TypedText", "plain_word", "plain_words"]

HOLD_S: Final = 0.5
"""How long text waits for the device to show that it was a wake word. Boards send what follows a
wake word at once, on the same connection."""


def plain_word(text: str) -> str:
    """A wake word as it is compared: its letters and digits, whatever their case."""
    return "".join(char for char in text.casefold() if char.isalnum())


def plain_words(words: Iterable[str]) -> frozenset[str]:
    """Wake words as they are compared."""
    return frozenset(map(plain_word, words)) - {""}


class TypedText:
    """Holds text back until it is known to have been typed.

    It was a wake word where, within `HOLD_S`, the device opens or closes its microphone or aborts,
    or audio comes although the microphone was not open. Everything else passes at once, and
    nothing overtakes what it follows but tool replies and reports.

    Args:
        emit: takes the events.
        packets: how many packets of audio have come so far.
    """

    def __init__(self, emit: Callable[[Uplink], None], packets: Callable[[], int]) -> None:
        self._emit = emit
        self._packets = packets
        self._open = False  # the microphone, as the device has it
        self._realtime = False
        self._text = ""
        self._silent_at: int | None = None
        self._timer: asyncio.TimerHandle | None = None

    def take(self, event: Uplink) -> None:
        """The device said something."""
        match event:
            case Text(text=text):
                self._settle()
                self._hold(text)
                return
            case ListenStart(mode=mode):
                self._settle(wake=True)
                self._open, self._realtime = True, mode == "realtime"
            case ListenStop():
                self._settle(wake=True)
                self._open = False
            case Abort():
                self._settle(wake=True)
            case _:
                pass
        self._emit(event)

    def told(self, command: Downlink) -> None:
        """The device was told something: with an answer, most close their microphones."""
        if isinstance(command, SpeechStart) and not self._realtime:
            self._open = False

    def close(self) -> None:
        """Nothing more comes; what is held is forgotten."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _hold(self, text: str) -> None:
        self._text = text
        self._silent_at = None if self._open else self._packets()
        self._timer = asyncio.get_running_loop().call_later(HOLD_S, self._settle)

    def _settle(self, *, wake: bool = False) -> None:
        if self._timer is None:
            return
        self.close()
        heard = self._silent_at is not None and self._packets() > self._silent_at
        self._emit(Wake(self._text) if wake or heard else Text(self._text))
