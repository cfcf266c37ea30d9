"""Coverage-guided fuzzing of everything that parses bytes of a device.

`python tests/fuzz/fuzz_wire.py [-max_total_time=60] [CORPUS…]`; arguments are libFuzzer's. Only
errors of the protocol may escape; anything else ends it with the input that did it.
"""

from __future__ import annotations

import sys
from typing import cast

import atheris  # type: ignore[import-untyped]

with atheris.instrument_imports(include=["harken.wire", "harken.links.xiaozhi"]):
    from harken.errors import ProtocolError
    from harken.links.xiaozhi import agree, uplink_event
    from harken.wire import mcp, xiaozhi
    from harken.wire.binary import Version, unpack


def one(data: bytes) -> None:
    """The first byte chooses the parser, the rest is its input."""
    choice, rest = (data[0] if data else 0), data[1:]
    try:
        if choice % 4:
            payload = unpack(cast("Version", choice % 4), rest)
            assert 0 < len(payload.data) <= len(rest)
            return
        message = xiaozhi.decode(rest)
        if isinstance(message, xiaozhi.HelloMessage):
            agree(message, "3")
        elif isinstance(message, xiaozhi.McpMessage):
            for parse in (mcp.parse_reply, mcp.parse_page, mcp.parse_result):
                try:
                    parse(message.payload)
                except ProtocolError:
                    continue
        else:
            uplink_event(message, 0.0, wake_words=frozenset())
    except ProtocolError:
        return


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
