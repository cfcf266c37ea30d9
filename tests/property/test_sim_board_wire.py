"""The simulated board's wire, for any bytes in any pieces."""

from __future__ import annotations

import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harken.errors import MalformedError
from harken_hil.board.wire import LARGEST_PAYLOAD, Decoder, Kind, Message, encode

messages = st.lists(st.builds(Message, st.sampled_from(Kind), st.binary(max_size=400)), max_size=8)


@given(messages, st.lists(st.integers(0, 4000), max_size=8))
def test_messages_survive_any_pieces(sent: list[Message], cuts: list[int]) -> None:
    stream = b"".join(encode(message.kind, message.payload) for message in sent)
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    decoder = Decoder()
    got = [
        message
        for start, end in itertools.pairwise(edges)
        for message in decoder.feed(stream[start:end])
    ]
    assert got == sent


@given(st.lists(st.binary(max_size=600), max_size=6))
def test_any_bytes_are_messages_or_malformed(pieces: list[bytes]) -> None:
    decoder = Decoder()
    with contextlib.suppress(MalformedError):
        for piece in pieces:
            for message in decoder.feed(piece):
                assert len(message.payload) <= LARGEST_PAYLOAD
                for look in (message.json, message.speaker):
                    with contextlib.suppress(MalformedError):
                        look()


def test_an_oversize_message_is_refused_before_it_is_read() -> None:
    with pytest.raises(MalformedError):
        list(Decoder().feed(b"\x84\0\x01\x10"))
