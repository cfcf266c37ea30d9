"""The board `sim`: a HAL that speaks to the rig over one loopback TCP connection.

The wire is in `docs/reference/sim-board.md`. Microphone and loudspeaker blocks move without
allocating; everything else is rare and may.
"""

import json
import os
import select
import socket
import sys
import time

from micropython import const

from harken_device.hal.clock import Clock
from harken_device.hal.identity import Identity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from board_face import Board as BoardFace

    def _offers_everything(board: "Board") -> BoardFace:
        return board


_MIC = const(0x01)
_BUTTON = const(0x02)
_WIFI = const(0x03)
_QUIT = const(0x04)
_HELLO = const(0x80)
_SPEAKER = const(0x81)
_LED = const(0x82)
_MARK = const(0x83)
_LOG = const(0x84)
_FEED = const(0x85)

_BLOCK_BYTES = const(320)
_OUTPUT_DELAY_BLOCKS = const(2)
_LARGEST_CONTROL = const(16)
_LARGEST_TEXT = const(4096)
_WRITE_DEADLINE_MS = const(2000)
_FEED_EVERY_MS = const(250)
_EXIT_OFF = const(0)
_EXIT_NO_RIG = const(1)
_EXIT_RESET = const(3)  # the rig boots the board again
_TCP_NODELAY = const(1)
_IPPROTO_TCP = const(6)


class _Rig:
    """The connection: framing, deadlines, and what the rig last said of button and radio."""

    def __init__(self, address: str) -> None:
        host, port = address.split(":")
        self._socket = socket.socket()
        self._socket.connect(socket.getaddrinfo(host, int(port))[0][-1])
        self._socket.setsockopt(_IPPROTO_TCP, _TCP_NODELAY, 1)
        self._socket.setblocking(False)
        self._writable = select.poll()
        self._writable.register(self._socket, select.POLLOUT)
        self._header = bytearray(4)
        self._out = bytearray(8)
        self._control = bytearray(_LARGEST_CONTROL)
        self._rest = bytearray(_BLOCK_BYTES)
        self._have = 0
        self._in_payload = False
        self.pressed = False
        self.radio = True
        self.blocks = 0  # microphone blocks received

    def poll(self, block: "bytearray | memoryview") -> bool:
        """Take what the rig has sent, up to and with one microphone block; True where one came."""
        header = self._header
        while True:
            if not self._in_payload:
                if not self._fill(header, 4):
                    return False
                self._in_payload = True
            kind = header[0]
            length = header[2] | header[3] << 8
            if kind == _MIC and length == _BLOCK_BYTES:
                if not self._fill(block, length):
                    return False
                self._in_payload = False
                self.blocks += 1
                return True
            if length > _LARGEST_CONTROL:
                raise OSError("the rig sent %d bytes of type %d" % (length, kind))
            if length and not self._fill(self._control, length):
                return False
            self._in_payload = False
            self._obey(kind)

    def _fill(self, buffer: "bytearray | memoryview", size: int) -> bool:
        """Read on until `size` bytes of this part of the message lie in `buffer`; True then."""
        if self._have == 0:
            count = self._socket.readinto(buffer, size)
        else:  # rare: the rest of a message that TCP cut in two
            count = self._socket.readinto(self._rest, size - self._have)
        if count is None:
            return False
        if count == 0:
            sys.exit(_EXIT_NO_RIG)
        if self._have:
            for i in range(count):
                buffer[self._have + i] = self._rest[i]
        self._have += count
        if self._have < size:
            return False
        self._have = 0
        return True

    def _obey(self, kind: int) -> None:
        if kind == _BUTTON:
            self.pressed = self._control[1] != 0
        elif kind == _WIFI:
            self.radio = self._control[0] != 0
        elif kind == _QUIT:
            self.close()
            sys.exit(_EXIT_OFF)

    def send(self, kind: int, payload: bytes, length: int) -> None:
        """One message of at most `_LARGEST_TEXT` bytes."""
        out = self._out
        out[0] = kind
        out[2] = length & 255
        out[3] = length >> 8
        self._write(out, 4)
        self._write(payload, length)

    def speak(self, block: bytearray) -> None:
        """The loudspeaker block that answers the microphone block just taken."""
        sample = (self.blocks - 1 + _OUTPUT_DELAY_BLOCKS) * 160
        out = self._out
        out[0] = _SPEAKER
        out[2] = (_BLOCK_BYTES + 4) & 255
        out[3] = (_BLOCK_BYTES + 4) >> 8
        out[4] = sample & 255
        out[5] = sample >> 8 & 255
        out[6] = sample >> 16 & 255
        out[7] = sample >> 24 & 255
        self._write(out, 8)
        self._write(block, _BLOCK_BYTES)

    def _write(self, buffer: "bytes | bytearray", length: int) -> None:
        done = 0
        while done < length:
            count = self._socket.write(buffer, done, length - done)
            if count is not None:
                done += count
            elif not self._writable.poll(_WRITE_DEADLINE_MS):
                sys.exit(_EXIT_NO_RIG)

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


class _Mic:
    def __init__(self, rig: _Rig, hello: "dict[str, object]") -> None:
        self._rig = rig
        self._hello: dict[str, object] | None = hello

    def poll(self, block: "bytearray | memoryview") -> bool:
        if self._hello is not None:  # the first poll switches the microphone on
            import gc

            gc.collect()
            self._hello["heap_free"] = gc.mem_free()
            text = json.dumps(self._hello).encode()
            self._hello = None
            self._rig.send(_HELLO, text, len(text))
        return self._rig.poll(block)


class _Speaker:
    def __init__(self, rig: _Rig) -> None:
        self.write = rig.speak


class _Wifi:
    def __init__(self, rig: _Rig) -> None:
        self._rig = rig
        self._joined = False

    def connect(self) -> None:
        self._joined = True

    def up(self) -> bool:
        return self._joined and self._rig.radio

    def disconnect(self) -> None:
        self._joined = False


class _Leds:
    def __init__(self, rig: _Rig) -> None:
        self._rig = rig

    def set(self, red: int, green: int, blue: int) -> None:
        self._rig.send(_LED, bytes((red, green, blue)), 3)


class _Button:
    def __init__(self, rig: _Rig) -> None:
        self._rig = rig

    def pressed(self) -> bool:
        return self._rig.pressed


class _Slots:
    def active(self) -> str:
        return "a"

    def confirm(self) -> None:
        """The image of a simulated board has one slot: there is nothing to go back to."""


class _Watchdog:
    """The rig is the silicon that bites: it resets a board that has fed once and then stops."""

    def __init__(self, rig: _Rig) -> None:
        self._rig = rig
        self._fed = time.ticks_add(time.ticks_ms(), -_FEED_EVERY_MS)

    def feed(self) -> None:
        now = time.ticks_ms()
        if time.ticks_diff(now, self._fed) >= _FEED_EVERY_MS:
            self._fed = now
            self._rig.send(_FEED, b"", 0)


class Board:
    """The simulated board.

    Args:
        description: `board.json`.
    """

    def __init__(self, description: "dict[str, str]") -> None:
        import harken_device

        rig = _Rig(os.getenv("HARKEN_SIM_RIG") or "")
        self._rig = rig
        self.name = description["board"]
        self.watched = True
        self.mic = _Mic(rig, {"board": self.name, "firmware": harken_device.__version__})
        self.speaker = _Speaker(rig)
        self.wifi = _Wifi(rig)
        self.leds = _Leds(rig)
        self.button = _Button(rig)
        self.slots = _Slots()
        self.clock = Clock()
        mac = os.getenv("HARKEN_SIM_MAC") or "020000000001"
        self.identity = Identity(bytes(int(mac[i : i + 2], 16) for i in range(0, 12, 2)))
        self.watchdog = _Watchdog(rig)

    def mark(self, name: str, sample: int, value: object = None) -> None:
        """A stage, in device samples, for the rig's record."""
        text = json.dumps({"mark": name, "sample": sample, "value": value}).encode()
        self._rig.send(_MARK, text, len(text))

    def log(self, line: str) -> None:
        """One line to the rig."""
        text = line.encode()
        self._rig.send(_LOG, text, min(len(text), _LARGEST_TEXT))

    def off(self) -> None:
        """Switch off; does not return."""
        self._rig.close()
        sys.exit(_EXIT_OFF)

    def reset(self) -> None:
        """Boot anew; does not return."""
        self._rig.close()
        sys.exit(_EXIT_RESET)
