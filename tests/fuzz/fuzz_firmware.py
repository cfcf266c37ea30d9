"""Coverage-guided fuzzing of what the device parses: frames, messages, boot answers, tool calls.

`python tests/fuzz/fuzz_firmware.py [-max_total_time=60] [CORPUS…]`; arguments are libFuzzer's.
Coverage needs CPython, so the firmware's own sources run here over as much of MicroPython's
modules as they use. The same parsers are held to the same promise in MicroPython itself by
`tests/property/test_firmware_protocol_properties.py`.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
import types
from typing import Any

import atheris  # type: ignore[import-untyped]


class SimRing:
    """`micropython.RingIO`: a bounded first-in-first-out of bytes."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._held = bytearray()

    def any(self) -> int:
        return len(self._held)

    def write(self, buffer: bytes, start: int = 0, length: int | None = None) -> int:
        end = len(buffer) if length is None else start + length
        assert end - start <= self._size - len(self._held), "the firmware overfills its ring"
        self._held += buffer[start:end]
        return end - start

    def readinto(self, buffer: Any, length: int | None = None) -> int:
        count = min(len(buffer) if length is None else length, len(self._held))
        buffer[:count] = self._held[:count]
        del self._held[:count]
        return count


class SimCipher:
    """`cryptolib.aes`; the keys it makes are not looked at here."""

    def __init__(self, *_: object) -> None: ...

    def encrypt(self, data: bytes, out: bytearray) -> None:
        out[:] = data


class SimStream:
    """What a network would deliver, in pieces; takes everything that is written."""

    def __init__(self, data: bytes, piece: int) -> None:
        self._data = data
        self._piece = piece
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def readinto(self, buffer: bytearray, longest: int) -> int:
        count = min(longest, self._piece, self.left)
        buffer[:count] = self._data[self._at : self._at + count]
        self._at += count
        return count

    def write(self, buffer: bytes, start: int, length: int) -> int:
        assert 0 <= start <= start + length <= len(buffer)
        return length


def _module(name: str, **members: object) -> None:
    module = types.ModuleType(name)
    vars(module).update(members)
    sys.modules[name] = module


_module("micropython", const=lambda value: value, RingIO=SimRing)
_module("harken_device.core", mask=lambda buffer, offset, length, key: None)
_module("cryptolib", aes=SimCipher)
vars(time).update(ticks_ms=lambda: 0, ticks_add=lambda a, b: a + b, ticks_diff=lambda a, b: a - b)

with atheris.instrument_imports(include=["harken_device"]):
    from harken_device import protocol, tools
    from harken_device.errors import BootstrapError, ProtocolError, WebSocketError
    from harken_device.net import websocket
    from harken_device.net.bootstrap import Answer
    from harken_device.net.frames import LARGEST_BINARY, LARGEST_TEXT


def frames(data: bytes) -> None:
    """Bytes of a server, in pieces of a size that the first byte chooses."""
    socket = websocket.WebSocket()
    stream = SimStream(data[1:], 1 + data[0] if data else 1)
    vars(socket).update(_stream=stream, _live=True)
    try:
        # A poll that finds nothing may still have taken frames that are no messages.
        while socket.poll() != websocket.NOTHING or stream.left:
            assert socket.length <= max(LARGEST_BINARY, LARGEST_TEXT)
    except WebSocketError:
        pass


def audio(version: int, data: bytes) -> None:
    framing = protocol.Framing(version)
    try:
        framing.unpack(bytearray(data), len(data))
    except ProtocolError:
        return
    assert 0 <= framing.offset <= framing.offset + framing.length == len(data)


def message(data: bytes) -> None:
    try:
        parsed = protocol.parse(data)
        if parsed["type"] == "hello":
            protocol.ServerHello(parsed)
        protocol.cancelled(parsed)
    except ProtocolError:
        pass


def boot(data: bytes) -> None:
    with contextlib.suppress(BootstrapError):
        Answer(data)


_SERVER = tools.Server(tools.device_tools(dict, lambda volume: None, lambda red, green, blue: None))


def call(data: bytes) -> None:
    try:
        request = json.loads(data)
    except (ValueError, RecursionError):
        return
    if isinstance(request, dict):
        reply = _SERVER.answer(request)
        assert reply is None or ("result" in json.loads(reply)) != ("error" in json.loads(reply))


def one(data: bytes) -> None:
    """The first byte chooses the parser, the rest is its input."""
    choice, rest = (data[0] % 8 if data else 0), data[1:]
    if choice in (1, 2, 3):
        audio(choice, rest)
    else:
        {0: frames, 4: message, 5: boot, 6: call, 7: frames}[choice](rest)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
