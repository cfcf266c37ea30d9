"""The HAL of the simulated board against a rig that cuts, floods, stalls and vanishes."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import struct
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("micropython_unix", reason="pip install 'harken[rig]'")

from harken_hil.board import Silence, SimBoard, build_flash
from harken_hil.board.process import DeviceProcess
from harken_hil.board.wire import Decoder, Kind, Message, encode

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

pytestmark = pytest.mark.integration

ECHO = """
from harken_device.hal import open_board
hal = open_board()
block = bytearray(320)
def echo():
    while True:
        if hal.mic.poll(block):
            hal.speaker.write(block)
"""


class Rig:
    """A rig that says exactly what the test says."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        self._decoder = Decoder()
        self._waiting: list[Message] = []

    async def next(self, kind: Kind) -> Message:
        """The next message of that kind."""
        async with asyncio.timeout(10):
            while True:
                while self._waiting:
                    message = self._waiting.pop(0)
                    if message.kind is kind:
                        return message
                data = await self._reader.read(65_536)
                assert data, "the device hung up"
                self._waiting.extend(self._decoder.feed(data))

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        async with asyncio.timeout(10):
            await self.writer.drain()


@contextlib.asynccontextmanager
async def device(main: str, folder: Path) -> AsyncGenerator[tuple[Rig, DeviceProcess, list[str]]]:
    """The device with `main`, connected to a rig."""
    flash = folder / "flash.img"
    shutil.copyfile(build_flash({}, [], main=main, cache=folder / "cache"), flash)
    connected: asyncio.Future[Rig] = asyncio.get_running_loop().create_future()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set_result(Rig(reader, writer))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    lines: list[str] = []
    port = server.sockets[0].getsockname()[1]
    process = DeviceProcess(f"127.0.0.1:{port}", flash, "020000000001", 256, lines.append)
    await process.start()
    try:
        yield await asyncio.wait_for(connected, 10), process, lines
    finally:
        if connected.done():
            writer = connected.result().writer
            writer.transport.abort()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        await process.end(1.0)
        server.close()
        await server.wait_closed()


def block(n: int) -> bytes:
    return struct.pack("<160h", *(n * 160 + i for i in range(160)))


@pytest.mark.parametrize("piece", [1, 3, 5, 100, 323, 325])
async def test_messages_may_come_in_any_pieces(tmp_path: Path, piece: int) -> None:
    async with device(ECHO + "echo()", tmp_path) as (rig, _, _):
        await rig.next(Kind.HELLO)
        stream = b"".join(
            encode(Kind.MIC, block(n)) + encode(Kind.BUTTON, bytes((0, n & 1))) for n in range(8)
        )
        for at in range(0, len(stream), piece):
            await rig.say(stream[at : at + piece])
        for n in range(8):
            sample, pcm = (await rig.next(Kind.SPEAKER)).speaker()
            assert sample == (n + 2) * 160
            assert pcm == block(n)


async def test_quit_is_obeyed(tmp_path: Path) -> None:
    async with device(ECHO + "echo()", tmp_path) as (rig, process, _):
        await rig.next(Kind.HELLO)
        await rig.say(encode(Kind.QUIT))
        assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_a_rig_that_is_gone_ends_the_device(tmp_path: Path) -> None:
    async with device(ECHO + "echo()", tmp_path) as (rig, process, _):
        await rig.next(Kind.HELLO)
        rig.writer.transport.abort()
        assert await asyncio.wait_for(process.wait(), 10) == 1


async def test_a_rig_that_does_not_read_ends_the_device(tmp_path: Path) -> None:
    main = ECHO + "while True:\n    hal.speaker.write(block)\n"
    async with device(main, tmp_path) as (rig, process, _):
        rig.writer.transport.pause_reading()  # type: ignore[attr-defined]
        assert await asyncio.wait_for(process.wait(), 20) == 1


async def test_an_oversize_message_from_the_rig_is_an_error(tmp_path: Path) -> None:
    async with device(ECHO + "echo()", tmp_path) as (rig, process, lines):
        await rig.next(Kind.HELLO)
        await rig.say(encode(Kind.WIFI, bytes(17)))
        assert await asyncio.wait_for(process.wait(), 10) == 1
        assert any("17 bytes of type 3" in line for line in lines)


async def test_a_block_moves_without_allocating(tmp_path: Path) -> None:
    main = (
        ECHO
        + """
import gc, micropython
def measure():
    while not hal.mic.poll(block):
        pass
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    micropython.heap_lock()
    n = 0
    while n < 1000:
        if hal.mic.poll(block):
            hal.speaker.write(block)
            n += 1
    micropython.heap_unlock()
    after = gc.mem_alloc()
    hal.mark("allocated", n, after - before)
measure()
echo()
"""
    )
    async with device(main, tmp_path) as (rig, _, _):
        await rig.next(Kind.HELLO)
        for n in range(1010):
            # Cut where the pieces fall in headers and in samples.
            message = encode(Kind.MIC, bytes(320))
            await rig.say(message[: n % 300])
            await rig.say(message[n % 300 :])
        assert (await rig.next(Kind.MARK)).json() == {
            "mark": "allocated",
            "sample": 1000,
            "value": 0,
        }


async def test_an_identity_cut_off_by_a_power_cut_is_made_anew(tmp_path: Path) -> None:
    main = (
        """
with open("client_id", "w") as file:
    file.write("1234")
"""
        + ECHO
        + """
from harken_device.hal.identity import Identity
one = hal.identity.client_id()
hal.mark("id", 0, [one, Identity(b"123456").client_id(), hal.identity.mac()])
echo()
"""
    )
    flash = build_flash({}, [], main=main, cache=tmp_path / "cache")
    async with SimBoard(flash, Silence(), mac="02:00:00:00:00:07") as board:
        first, again, mac = (await board.wait_mark("id")).value
    assert first == again
    assert len(first) == 36
    assert first[14] == "4"
    assert first[19] in "89ab"
    assert mac == "02:00:00:00:00:07"


async def test_the_wall_clock_is_what_it_was_set_to(tmp_path: Path) -> None:
    main = (
        ECHO
        + """
import time
before = hal.clock.unix_ms()
hal.clock.set(1_757_567_894_012)
time.sleep_ms(50)
hal.mark("clock", 0, [before, hal.clock.unix_ms()])
echo()
"""
    )
    flash = build_flash({}, [], main=main, cache=tmp_path / "cache")
    async with SimBoard(flash, Silence()) as board:
        before, after = (await board.wait_mark("clock")).value
    assert before == 0  # and each reading is cut to a whole millisecond
    assert 49 <= after - 1_757_567_894_012 < 10_000


async def test_one_slot_and_a_board_without_a_description(tmp_path: Path) -> None:
    main = (
        ECHO
        + """
import os
os.remove("board.json")
try:
    open_board()
except OSError as error:
    hal.slots.confirm()
    hal.mark("refused", 0, [error.errno, hal.slots.active()])
echo()
"""
    )
    flash = build_flash({}, [], main=main, cache=tmp_path / "cache")
    async with SimBoard(flash, Silence()) as board:
        assert (await board.wait_mark("refused")).value == [2, "a"]
