"""What keeps one hostile device from moving the others: limits, a token bucket, a quiet log."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harken.errors import printable

if TYPE_CHECKING:
    from harken.errors import ProtocolError
    from harken.links.link import LinkCounters

__all__ = ["Limits", "RefusalLog", "TokenBucket"]

_LOG = logging.getLogger(__name__)
_LOG_EVERY_S = 10.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What one device may do at a WebSocket door.

    Attributes:
        links: connections open at once.
        handshake_s: to finish TLS and the HTTP upgrade.
        hello_s: then to say hello.
        ping_s: between pings, and for each to be answered.
        unread_s: how long a device may leave what it was sent unread.
        message_bytes: the longest message.
        unread_bytes: what may wait for a device that does not read.
        messages_a_second, message_burst: what it may send; a message counts once and once more
            for each kilobyte.
    """

    links: int = 4_096
    handshake_s: float = 10.0
    hello_s: float = 10.0
    ping_s: float = 5.0
    unread_s: float = 10.0
    message_bytes: int = 65_536
    unread_bytes: int = 65_536
    messages_a_second: float = 400.0
    message_burst: float = 1_000.0


class TokenBucket:
    """Allows a rate with bursts.

    Args:
        rate: tokens a second that come back.
        burst: the most that can be held; full at first.
        now: the clock at its making, in seconds.
    """

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._at = now

    def take(self, tokens: float, now: float) -> bool:
        """Spend `tokens` if there are as many."""
        held = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        self._tokens = held - tokens
        if self._tokens >= 0:
            return True
        self._tokens = held
        return False


class RefusalLog:
    """Counts what a device sent and was refused, and logs it once in a while.

    Args:
        identity: the device, safe to log.
        counters: where refusals are counted by the code of the error.
    """

    def __init__(self, identity: str, counters: LinkCounters) -> None:
        self._identity = identity
        self._counters = counters
        self._quiet_until = 0.0
        self._unlogged = 0

    def refuse(self, error: ProtocolError, now: float) -> None:
        """A message was refused because of `error`."""
        refused = self._counters.refused
        refused[error.code] = refused.get(error.code, 0) + 1
        self._unlogged += 1
        if now < self._quiet_until:
            return
        _LOG.warning(
            "refused %d message(s) of %s, the last: %s",
            self._unlogged,
            self._identity,
            printable(str(error)),
        )
        self._unlogged = 0
        self._quiet_until = now + _LOG_EVERY_S
