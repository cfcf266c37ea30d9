"""What every dialect must do alike: `check_link` run on its links and a real peer of theirs.

After the stream checks of trio (`trio.testing.check_two_way_stream`): one check, any transport.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from harken.errors import LinkClosedError
from harken.links.inbox import MAX_EVENTS
from harken.links.link import (
    Abort,
    AudioFrame,
    ListenStart,
    ListenStop,
    Sentence,
    SpeechStart,
    SpeechStop,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator
    from contextlib import AbstractAsyncContextManager

    from harken.links.link import Downlink, Link, Uplink

    MakePair = Callable[[], AbstractAsyncContextManager[tuple[Link, "Peer"]]]

__all__ = ["Peer", "check_link"]

_DEADLINE_S = 20.0


class Peer(Protocol):
    """The device's end of a link, as the check needs it."""

    async def send_audio(self, packet: bytes) -> None:
        """Send one packet of audio."""
        ...

    async def send(self, event: Uplink) -> None:
        """Send an event: `ListenStart`, `ListenStop` or `Abort`."""
        ...

    async def receive(self) -> bytes | type[Downlink]:
        """The next packet, or the kind of the next command.

        Raises:
            EOFError: the link is closed.
        """
        ...

    async def close(self) -> None:
        """Leave in an orderly way."""
        ...

    async def vanish(self) -> None:
        """Be gone without a word."""
        ...


async def check_link(make_pair: MakePair) -> None:
    """Check the links that a dialect makes; an `AssertionError` says what is wrong.

    Args:
        make_pair: opens a link and its peer, both past hello; leaving it closes both.
    """
    for check in (
        _goes_up,
        _comes_in_order,
        _goes_down,
        _drops_the_oldest,
        _cuts_off_who_sends_too_much,
        _closes,
        _ends_when_the_peer_leaves,
        _ends_when_the_peer_vanishes,
    ):
        async with asyncio.timeout(_DEADLINE_S), make_pair() as (link, peer):
            await check(link, peer)


async def _goes_up(link: Link, peer: Peer) -> None:
    assert link.identity, "a link has an identity"
    assert link.session_id, "a link names its session"
    packets = [bytes([72, number]) for number in range(10)]
    for packet in packets:
        await peer.send_audio(packet)
    frames = [await anext(link.frames()) for _ in packets]
    assert [frame.packet for frame in frames] == packets, "audio arrives as it was sent"
    sequence = [frame.sequence for frame in frames]
    assert sequence == sorted(set(sequence)), "sequence numbers go up"
    assert link.counters.frames_up == len(packets), "frames are counted"


async def _comes_in_order(link: Link, peer: Peer) -> None:
    sent: list[Uplink] = [ListenStart("manual"), ListenStop(), Abort("why")]
    for event in sent:
        await peer.send(event)
    events = link.events()
    assert [await anext(events) for _ in sent] == sent, "events arrive as they were sent"
    receiver = _Recorder()
    await peer.send(ListenStart("auto"))
    link.attach(receiver)
    await peer.send_audio(b"\x48one")
    await peer.send(ListenStop())
    await receiver.until(3)
    kinds = [type(item) for item in receiver.items]
    assert kinds == [ListenStart, AudioFrame, ListenStop], "a receiver gets all in order"


async def _goes_down(link: Link, peer: Peer) -> None:
    link.send(SpeechStart())
    link.send(Sentence("hello"))
    link.send_audio(b"\x48one", 0)
    link.send_audio(b"\x48two", 20)
    link.send(SpeechStop())
    got = [await peer.receive() for _ in range(5)]
    assert got == [SpeechStart, Sentence, b"\x48one", b"\x48two", SpeechStop], "order is kept"


async def _drops_the_oldest(link: Link, peer: Peer) -> None:
    most = 2_000 // link.hello.uplink_frame_ms
    for number in range(most + 7):
        await peer.send_audio(bytes([72, number]))
    await _until(lambda: link.counters.frames_up == most + 7)
    assert link.counters.dropped_up == 7, "two seconds of audio wait, and what is lost is counted"
    frames = link.frames()
    got = [(await anext(frames)).packet[1] for _ in range(most)]
    assert got == list(range(7, most + 7)), "the oldest audio goes first"


async def _cuts_off_who_sends_too_much(link: Link, peer: Peer) -> None:
    for _ in range(MAX_EVENTS + 1):
        await peer.send(Abort())
    await _learns_of_the_end(peer)
    assert await _count(link.events()) == MAX_EVENTS, "events are bounded, then the link ends"


async def _closes(link: Link, peer: Peer) -> None:
    await link.close("enough")
    await link.close()
    assert await _count(link.frames()) == 0, "audio ends with the link"
    assert await _count(link.events()) == 0, "events end with the link"
    with _refused():
        link.send(SpeechStart())
    with _refused():
        link.send_audio(b"\x48", 0)
    await _learns_of_the_end(peer)


async def _ends_when_the_peer_leaves(link: Link, peer: Peer) -> None:
    receiver = _Recorder()
    link.attach(receiver)
    await peer.close()
    await receiver.closed.wait()
    assert receiver.reason, "a closed link says why"


async def _ends_when_the_peer_vanishes(link: Link, peer: Peer) -> None:
    await peer.vanish()
    assert await _count(link.frames()) == 0, "audio ends when the peer is gone"


@contextmanager
def _refused() -> Generator[None]:
    try:
        yield
    except LinkClosedError:
        return
    raise AssertionError("nothing can be sent over a closed link")


async def _learns_of_the_end(peer: Peer) -> None:
    try:
        await peer.receive()
    except EOFError:
        return
    raise AssertionError("the peer learns that the link is closed")


async def _count(items: AsyncIterator[object]) -> int:
    return len([None async for _ in items])


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  a link has no event for its counters
        await asyncio.sleep(0.005)


class _Recorder:
    """Keeps what a link hands over."""

    def __init__(self) -> None:
        self.items: list[AudioFrame | Uplink] = []
        self.closed = asyncio.Event()
        self.reason = ""

    def on_frame(self, frame: AudioFrame) -> None:
        self.items.append(frame)

    def on_event(self, event: Uplink) -> None:
        self.items.append(event)

    def on_closed(self, reason: str) -> None:
        self.reason = reason
        self.closed.set()

    async def until(self, count: int) -> None:
        await _until(lambda: len(self.items) >= count)
