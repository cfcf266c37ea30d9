"""The rig's end of the connection of one boot of a simulated board."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import numpy as np

from harken.errors import MalformedError
from harken_hil.board.wire import BLOCK, Decoder, Kind, Message, encode

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

# More than a device ever writes ahead; a board that floods must not fill the rig's memory.
_MOST_BLOCKS_AHEAD = 64


class DeviceLink(asyncio.Protocol):
    """Audio and messages of one boot, its sample counter joined to the rig's.

    Args:
        opened: called when the device has connected; False refuses it.
        obey: takes every message but loudspeaker blocks and watchdog feeds.
        failed: told why, when what the device sends cannot be followed.
    """

    def __init__(
        self,
        opened: Callable[[DeviceLink], bool],
        obey: Callable[[DeviceLink, Message], None],
        failed: Callable[[str], None],
    ) -> None:
        self._opened = opened
        self._obey = obey
        self._failed = failed
        self._decoder = Decoder()
        self._transport: asyncio.Transport | None = None
        self._waiting: dict[int, NDArray[np.int16]] = {}
        self._base: int | None = None
        self._fed_at: float | None = None
        self.listening = False
        self.speaks = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the device in, or refuse it."""
        self._transport = cast("asyncio.Transport", transport)
        if not self._opened(self):
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The device is gone; its process says why."""
        del exc
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Take what the device says, at once: a block may be due this very moment."""
        try:
            for message in self._decoder.feed(data):
                self._take_message(message)
        except MalformedError as error:
            self._failed(str(error))
            self.close()

    def _take_message(self, message: Message) -> None:
        if message.kind is Kind.SPEAKER:
            sample, pcm = message.speaker()
            if len(self._waiting) < _MOST_BLOCKS_AHEAD and self._base is not None:
                self._waiting[self._base + sample // BLOCK] = np.frombuffer(pcm, "<i2")
                self.speaks = True
        elif message.kind is Kind.FEED:
            self._fed_at = asyncio.get_running_loop().time()
        else:
            self.listening = self.listening or message.kind is Kind.HELLO
            self._obey(self, message)

    def hear(self, n: int, block: NDArray[np.int16]) -> bool:
        """Give the device microphone block `n`.

        Returns:
            Whether it is the first: the device's own count begins with it.
        """
        if not self.listening:
            return False
        first = self._base is None
        if first:
            self._base = n
        self.send(Kind.MIC, block.astype("<i2", copy=False).tobytes())
        return first

    def lacks(self, n: int) -> bool:
        """Whether the device plays, and has not yet said what in block `n`."""
        return self.speaks and n not in self._waiting

    def take(self, n: int) -> NDArray[np.int16] | None:
        """What the device wants played in block `n`; blocks whose time is over are thrown away."""
        block = self._waiting.pop(n, None)
        for late in [number for number in self._waiting if number < n]:
            del self._waiting[late]
        return block

    def world(self, device_sample: int) -> int:
        """A count of the device in samples of the rig."""
        return device_sample + (self._base or 0) * BLOCK

    def starved(self, now: float, patience_s: float) -> bool:
        """Whether the watchdog was fed once and then not for `patience_s`."""
        return self._fed_at is not None and now - self._fed_at > patience_s

    def send(self, kind: Kind, payload: bytes = b"") -> None:
        """Send a message; nothing where the device is gone."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(encode(kind, payload))

    def close(self) -> None:
        """Drop the connection at once; safe to call twice."""
        if self._transport is not None:
            self._transport.abort()
            self._transport = None
