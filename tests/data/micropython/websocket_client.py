"""Connects, sends what it is told, reports every message. Runs in MicroPython.

`sys.argv`: URL, certificate file ("-" none, "any" verifies nothing), patience in ms, and steps:
`text:WORDS`, `binary:COUNT`, `expect:COUNT` (messages), `closed` (wait for the end), `echo:COUNT`,
`shut`.
"""

import asyncio
import sys

from harken_device.errors import NetError, WebSocketError
from harken_device.net.frames import BINARY, TEXT
from harken_device.net.stream import Trust, deadline_in, left
from harken_device.net.websocket import HEADROOM, NOTHING, WebSocket


async def message(socket, within_ms=15000):
    deadline = deadline_in(within_ms)
    while True:
        kind = socket.poll()
        if kind != NOTHING:
            return kind
        if left(deadline) <= 0:
            raise AssertionError("no message came")
        await asyncio.sleep_ms(1)


def shown(socket, kind):
    if kind == TEXT:
        return "text %d %s" % (len(socket.text), socket.text[:60])
    return "binary %d %d" % (socket.length, sum(socket.payload[: socket.length]))


async def ready(socket):
    while not socket.ready():
        socket.poll()
        await asyncio.sleep_ms(1)


async def step(socket, what, argument):
    if what == "text":
        await ready(socket)
        socket.send_text(argument)
    elif what == "binary":
        for _ in range(int(argument)):
            await ready(socket)
            socket.send(BINARY, bytearray(HEADROOM + 1000), HEADROOM, 1000)
    elif what == "expect":
        for _ in range(int(argument)):
            print(shown(socket, await message(socket)))
    elif what == "echo":
        for _ in range(int(argument)):
            kind = await message(socket)
            length = socket.length
            data = bytearray(HEADROOM) + socket.payload[:length]
            if kind == TEXT:
                data = bytearray(HEADROOM) + socket.text.encode()
                length = len(data) - HEADROOM
            await ready(socket)
            socket.send(kind, data, HEADROOM, length)
        await ready(socket)
    elif what == "closed":
        await message(socket)
        print("a message instead of the end")
    elif what == "shut":
        await socket.shut(deadline_in(3000))
        print("shut")


async def main(url, ca, patience, steps):
    trust = Trust("" if ca in ("-", "any") else ca, ca != "any")
    socket = WebSocket(patience)
    try:
        await socket.open(url, [("Device-Id", "02:00:00:00:00:01")], trust, deadline_in(patience))
        print("open")
        for one in steps:
            what, _, argument = one.partition(":")
            await step(socket, what, argument)
    except WebSocketError as error:
        print("WebSocketError", error.code, error)
    except NetError as error:
        print("NetError", error)
    socket.close()


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:]))
