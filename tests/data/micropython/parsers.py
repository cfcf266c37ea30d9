"""Answers lines of hexadecimal with what the device's parsers make of them. Runs in MicroPython.

`ws A,B,..` frames as the network cuts them; `json X`; `binary VERSION X`; `hello X`; `boot X`;
`mcp X` a JSON-RPC message; `pack VERSION LENGTH TIMESTAMP`; `playout A B C`.
The answer is JSON: `ok` with the value, or `error` with the name of the class.
"""

import json
import sys
from binascii import hexlify, unhexlify

from harken_device import protocol, tools
from harken_device.errors import DeviceError, WebSocketError
from harken_device.net.bootstrap import Answer
from harken_device.net.frames import TEXT
from harken_device.net.websocket import NOTHING, WebSocket


class SimStream:
    """What a network would deliver, in these pieces; takes everything that is written."""

    def __init__(self, pieces):
        self.pieces = pieces
        self.written = bytearray()

    def readinto(self, buffer, longest):
        if not self.pieces:
            return 0
        piece = self.pieces[0]
        count = min(longest, len(piece))
        buffer[:count] = piece[:count]
        if count == len(piece):
            self.pieces.pop(0)
        else:
            self.pieces[0] = piece[count:]
        return count

    def write(self, buffer, start, length):
        self.written.extend(buffer[start : start + length])
        return length


def frames(argument):
    stream = SimStream([unhexlify(piece) for piece in argument.split(",") if piece])
    socket = WebSocket()
    socket._stream = stream
    socket._live = True
    messages = []
    code = 0
    try:
        while True:
            kind = socket.poll()
            if kind == TEXT:
                messages.append(["text", socket.text])
            elif kind != NOTHING:
                messages.append(["binary", hexlify(socket.payload[: socket.length]).decode()])
            elif not stream.pieces:
                break
    except WebSocketError as error:
        code = error.code
    return {"messages": messages, "code": code, "written": hexlify(stream.written).decode()}


def unpacked(version, data):
    framing = protocol.Framing(int(version))
    framing.unpack(bytearray(unhexlify(data)), len(data) // 2)
    return [framing.offset, framing.length, framing.is_text]


def packed(version, length, timestamp):
    framing = protocol.Framing(int(version))
    length = int(length)
    buffer = bytearray(24 + length)
    at = framing.pack(buffer, 24, length, int(timestamp))
    return hexlify(buffer[at:]).decode()


def greeted(data):
    hello = protocol.ServerHello(protocol.parse(unhexlify(data)))
    return [hello.session_id, hello.features, hello.frame_ms, hello.harken]


def booted(data):
    answer = Answer(unhexlify(data))
    return [answer.unix_ms, answer.websocket, answer.firmware, answer.activation]


def reported(played, buffered, late):
    report = protocol.PlayoutReport('s"1', 8)
    for _ in range(2):
        report.fill(int(played), int(buffered), int(late))
    return bytes(report.buffer[8 : 8 + report.length]).decode()


def server():
    told = []
    return tools.Server(
        tools.device_tools(lambda: {"state": "idle"}, told.append, lambda *rgb: told.append(rgb))
    )


def asked(data):
    request = json.loads(unhexlify(data))
    return server().answer(request) if isinstance(request, dict) else None


def crowd(count, cursor):
    """`tools/list` of a device with many tools."""
    many = [
        tools.Tool("tool%03d" % i, "d" * 200, {}, lambda given: True) for i in range(int(count))
    ]
    request = {"id": 10, "method": "tools/list", "params": {"cursor": cursor.strip('"')}}
    return tools.Server(many).answer(request)


COMMANDS = {
    "ws": frames,
    "json": lambda data: protocol.parse(unhexlify(data)),
    "binary": unpacked,
    "pack": packed,
    "hello": greeted,
    "boot": booted,
    "playout": reported,
    "mcp": asked,
    "crowd": crowd,
}

while True:
    line = sys.stdin.readline()
    if not line:
        break
    command, *arguments = line.strip().split(" ")
    try:
        answer = {"ok": COMMANDS[command](*arguments)}
    except DeviceError as error:
        answer = {"error": error.__class__.__name__, "what": str(error)}
    except Exception as error:
        answer = {"escaped": repr(error)}
    print(json.dumps(answer))
