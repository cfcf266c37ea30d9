"""Audio carried from one device to another as it is: nothing is decoded, nothing waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harken.errors import LinkClosedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from harken.links.link import AudioFrame, Link, Uplink

__all__ = ["PassThrough"]


class PassThrough:
    """A `Receiver` that hands every Opus packet of one link to another link.

    Args:
        to: where the packets go; the sending link itself makes an echo.
        on_closed: called when the sending link is closed, with the reason.
    """

    def __init__(self, to: Link, on_closed: Callable[[str], None]) -> None:
        self._send = to.send_audio
        self._on_closed = on_closed

    def on_frame(self, frame: AudioFrame) -> None:
        """Send it on, unless nobody is there any more."""
        try:
            self._send(frame.packet, frame.timestamp_ms)
        except LinkClosedError:
            return

    def on_event(self, event: Uplink) -> None:
        """Events belong to a conversation, and here is none."""

    def on_closed(self, reason: str) -> None:
        """The sending link is closed."""
        self._on_closed(reason)
