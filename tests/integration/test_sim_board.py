"""The simulated board: clock, wires and end, with small programs in the real MicroPython."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip("micropython_unix", reason="pip install 'harken[rig]'")

from harken.errors import RigError
from harken_hil.board import Silence, SimBoard, build_flash
from harken_hil.board.process import DeviceProcess

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = pytest.mark.integration

BOARD = """
import asyncio
from harken_device.hal import open_board
hal = open_board()
block = bytearray(320)
"""
ECHO = (
    BOARD
    + """
n = 0
def hop():
    global n
    if not hal.mic.poll(block):
        return False
    hal.speaker.write(block)
    n += 1
    return True
async def run(each):
    while True:
        while hop():
            each()
        await asyncio.sleep_ms(1)
"""
)


class Staircase:
    """Each block holds its own number; what was played is kept."""

    def __init__(self) -> None:
        self.played: list[int] = []

    def block(self, n: int, played: NDArray[np.int16]) -> NDArray[np.int16]:
        self.played.append(int(played[0]))
        return np.full(160, n + 1, np.int16)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


async def test_sound_comes_back_two_blocks_later(cache: Path) -> None:
    flash = build_flash({}, [], main=ECHO + "asyncio.run(run(lambda: None))", cache=cache)
    room = Staircase()
    async with SimBoard(flash, room) as board:
        await board.wait_until(lambda: board.now >= 16_000)
        played = board.speaker[::160]
        heard = board.mic[::160]
        late = {sample // 160 for sample in board.glitches}
    assert heard[0] == 1
    first = int(np.flatnonzero(played)[0])
    for n in range(first, len(played)):
        if n not in late:  # a busy machine may miss one
            assert played[n] == heard[n - 2]
    assert len(late) < len(played) / 2
    # The room was told of every block what the loudspeaker played in it.
    assert room.played[: len(played)] == list(played)


async def test_a_block_that_comes_too_late_is_a_glitch(cache: Path) -> None:
    main = (
        ECHO
        + """
import time
def each():
    if n == 50:
        hal.mark("asleep", n * 160)
        time.sleep_ms(200)
asyncio.run(run(each))
"""
    )
    async with SimBoard(build_flash({}, [], main=main, cache=cache), Staircase()) as board:
        mark = await board.wait_mark("asleep")
        await board.wait_until(lambda: board.now >= mark.sample + 16_000)
        played = board.speaker
        lost = [s for s in board.glitches if mark.sample <= s < mark.sample + 6400]
    assert len(lost) >= 10
    for sample in lost:
        assert not played[sample : sample + 160].any()


async def test_a_device_that_works_too_long_has_glitches(cache: Path) -> None:
    main = (
        ECHO
        + """
import time
def each():
    if n == 50:
        hal.mark("busy", n * 160)
        end = time.ticks_add(time.ticks_ms(), 150)
        while time.ticks_diff(end, time.ticks_ms()) > 0:
            pass
asyncio.run(run(each))
"""
    )
    async with SimBoard(build_flash({}, [], main=main, cache=cache), Staircase()) as board:
        mark = await board.wait_mark("busy")
        await board.wait_until(lambda: board.now >= mark.sample + 16_000)
        lost = [s for s in board.glitches if mark.sample <= s < mark.sample + 6400]
    assert lost


async def test_a_device_that_may_not_run_is_waited_for(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock stops for it, as its process is the machine's and not the device's."""
    flash = build_flash({}, [], main=ECHO + "asyncio.run(run(lambda: None))", cache=cache)
    monkeypatch.setattr(DeviceProcess, "wants_to_run", property(lambda _: True))
    async with SimBoard(flash, Silence()) as board:
        await board.wait_until(lambda: board.now >= 8000)
        os.kill(board.pid, signal.SIGSTOP)
        await asyncio.sleep(0.3)
        os.kill(board.pid, signal.SIGCONT)
        stood = board.now
        await board.wait_until(lambda: board.now >= stood + 8000)
        assert not [sample for sample in board.glitches if sample >= 8000]
        assert board.slipped_s > 0.2


async def test_what_the_device_tells(cache: Path) -> None:
    main = (
        ECHO
        + """
hal.log("hello \\x1b[31m")
hal.leds.set(1, 2, 3)
print("console")
def each():
    if n == 10:
        hal.mark("ten", 1600, {"a": [1, None]})
asyncio.run(run(each))
"""
    )
    async with SimBoard(build_flash({}, [], main=main, cache=cache), Silence()) as board:
        mark = await board.wait_mark("ten", {"a": [1, None]})
        await board.wait_until(lambda: "console" in board.logs)
        assert mark.sample == 1600
        assert any(line.startswith("hello") for line in board.logs)
        assert not any("\x1b" in line for line in board.logs)
        assert board.leds[0].rgb == (1, 2, 3)
        assert board.hello["board"] == "sim"
        assert 0 < board.hello["heap_free"] < 256 * 1024


async def test_button_and_radio_reach_the_device(cache: Path) -> None:
    main = (
        ECHO
        + """
seen = []
hal.wifi.connect()
def each():
    state = [hal.button.pressed(), hal.wifi.up()]
    if not seen or seen[-1] != state:
        seen.append(state)
        hal.mark("state", n * 160, state)
asyncio.run(run(each))
"""
    )
    async with SimBoard(build_flash({}, [], main=main, cache=cache), Silence()) as board:
        await board.wait_mark("state", [False, True])
        board.press(True)
        await board.wait_mark("state", [True, True])
        board.wifi(False)
        await board.wait_mark("state", [True, False])
        board.press(False)
        await board.wait_mark("state", [False, False])


async def test_nothing_is_left_when_it_is_switched_off(cache: Path) -> None:
    flash = build_flash({}, [], main=ECHO + "asyncio.run(run(lambda: None))", cache=cache)
    async with SimBoard(flash, Silence()) as board:
        pid = board.pid
        assert not gone(pid)
    assert gone(pid)


@pytest.mark.parametrize("stuck", ["while True: pass", "import time; time.sleep(1000)"])
async def test_a_firmware_that_hangs_is_ended(cache: Path, stuck: str) -> None:
    main = (
        ECHO
        + f"""
def each():
    if n == 10:
        hal.mark("hangs", 1600)
        {stuck}
asyncio.run(run(each))
"""
    )
    async with SimBoard(build_flash({}, [], main=main, cache=cache), Silence()) as board:
        await board.wait_mark("hangs")
        pid = board.pid
    assert gone(pid)


async def test_a_firmware_that_ends_is_an_error_with_its_last_words(cache: Path) -> None:
    main = (
        ECHO
        + """
def each():
    if n == 10:
        raise ValueError("out of ideas")
asyncio.run(run(each))
"""
    )
    async with SimBoard(build_flash({}, [], main=main, cache=cache), Silence()) as board:
        with pytest.raises(RigError, match=r"status 1.*out of ideas"):
            await board.wait_mark("never")


async def test_a_firmware_that_does_not_boot_is_an_error(cache: Path) -> None:
    flash = build_flash({}, [], main="import nonsense", cache=cache)
    with pytest.raises(RigError, match="no module named 'nonsense'"):
        async with SimBoard(flash, Silence()):
            pass


async def test_a_firmware_that_never_listens_is_an_error(cache: Path) -> None:
    flash = build_flash({}, [], main="while True: pass", cache=cache)
    board = SimBoard(flash, Silence(), boot_s=0.5)
    with pytest.raises(RigError, match="did not boot"):
        async with board:
            pass
    assert gone(board.pid)


async def test_a_firmware_that_only_resets_is_an_error(cache: Path) -> None:
    flash = build_flash({}, [], main=BOARD + "print('again')\nhal.reset()", cache=cache)
    with pytest.raises(RigError, match=r"never listened.*again"):
        async with SimBoard(flash, Silence()):
            pass


async def test_no_mark_in_time_is_an_error(cache: Path) -> None:
    flash = build_flash({}, [], main=ECHO + "asyncio.run(run(lambda: None))", cache=cache)
    async with SimBoard(flash, Silence()) as board:
        with pytest.raises(RigError, match=r"no mark wake='x' within 0\.2 s"):
            await board.wait_mark("wake", "x", timeout=0.2)


async def test_marks_before_an_index_do_not_count(cache: Path) -> None:
    main = (
        ECHO
        + """
def each():
    if n % 10 == 0:
        hal.mark("beat", n * 160, n)
asyncio.run(run(each))
"""
    )
    async with SimBoard(build_flash({}, [], main=main, cache=cache), Silence()) as board:
        first = await board.wait_mark("beat")
        second = await board.wait_mark("beat", after=len(board.marks))
    assert first.sample == 1600
    assert second.sample > first.sample


async def test_the_watchdog_bites_a_board_that_stops_feeding_it(cache: Path) -> None:
    main = (
        ECHO
        + """
def each():
    if n < 20:
        hal.watchdog.feed()
hal.mark("boot", 0)
asyncio.run(run(each))
"""
    )
    flash = build_flash({}, [], main=main, cache=cache)
    async with SimBoard(flash, Silence(), watchdog_s=0.5) as board:
        await board.wait_until(lambda: board.boots >= 2, timeout=20)
        assert "rig: the watchdog bites" in board.logs


async def test_a_board_that_never_fed_the_watchdog_is_left_alone(cache: Path) -> None:
    flash = build_flash({}, [], main=ECHO + "asyncio.run(run(lambda: None))", cache=cache)
    async with SimBoard(flash, Silence(), watchdog_s=0.1) as board:
        await board.wait_until(lambda: board.now >= 8000)
        assert board.boots == 1


@pytest.mark.parametrize("by", ["firmware", "rig"])
async def test_a_reset_boots_the_same_flash_again(cache: Path, by: str) -> None:
    main = (
        ECHO
        + f"""
first = hal.identity.client_id()
def each():
    if n == 20:
        hal.mark("id", n * 160, first)
    if n == 30 and {by == "firmware"}:
        hal.reset()
asyncio.run(run(each))
"""
    )
    async with SimBoard(build_flash({}, [], main=main, cache=cache), Silence()) as board:
        before = await board.wait_mark("id")
        if by == "rig":
            board.reset()
        after = await board.wait_mark("id", after=1)
    assert board.boots >= 2
    assert after.value == before.value
    # The second boot's samples are told in the rig's count.
    assert after.sample > before.sample


async def test_two_boards_have_the_identities_they_were_given(cache: Path) -> None:
    main = (
        ECHO
        + """
hal.mark("mac", 0, hal.identity.mac())
hal.mark("id", 0, hal.identity.client_id())
asyncio.run(run(lambda: None))
"""
    )
    flash = build_flash({}, [], main=main, cache=cache)
    async with (
        SimBoard(flash, Silence(), mac="02:00:00:00:00:0a") as one,
        SimBoard(flash, Silence(), mac="02:00:00:00:00:0b") as two,
    ):
        await one.wait_mark("mac", "02:00:00:00:00:0a")
        await two.wait_mark("mac", "02:00:00:00:00:0b")
        ids = [(await board.wait_mark("id")).value for board in (one, two)]
    assert ids[0] != ids[1]


async def test_a_stranger_cannot_take_the_device_s_place(cache: Path) -> None:
    main = (
        ECHO
        + """
import os
hal.mark("rig", 0, os.getenv("HARKEN_SIM_RIG"))
asyncio.run(run(lambda: None))
"""
    )
    async with SimBoard(build_flash({}, [], main=main, cache=cache), Silence()) as board:
        host, port = (await board.wait_mark("rig")).value.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(1), 5) == b""
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        now = board.now
        await board.wait_until(lambda: board.now > now + 3200)
        assert not board.glitches[20:]


@pytest.mark.parametrize(
    ("nonsense", "error"),
    [
        ("b'\\x99\\0\\0\\0'", "type 0x99"),
        ("b'\\x84\\0\\xff\\xff'", "65535 bytes"),
        ("b'\\x83\\0\\x02\\0no'", "not JSON"),
        ("b'\\x83\\0\\x02\\0{}'", "without name"),
        ("b'\\x81\\0\\x02\\0no'", "block of 2 bytes"),
        ("b'\\x01\\0\\0\\0'", "MIC"),
    ],
)
async def test_nonsense_from_the_device_ends_the_run(
    cache: Path, nonsense: str, error: str
) -> None:
    main = (
        ECHO
        + f"""
def each():
    if n == 10:
        hal._rig._write({nonsense}, {len(eval(nonsense))})
asyncio.run(run(each))
"""
    )
    async with SimBoard(build_flash({}, [], main=main, cache=cache), Silence()) as board:
        with pytest.raises(RigError, match=error):
            await board.wait_mark("never")


async def test_a_room_that_fails_ends_the_run(cache: Path) -> None:
    class Broken:
        def block(self, n: int, played: NDArray[np.int16]) -> NDArray[np.int16]:
            if n == 20:
                raise ZeroDivisionError("walls")
            return played

    flash = build_flash({}, [], main=ECHO + "asyncio.run(run(lambda: None))", cache=cache)
    async with SimBoard(flash, Broken()) as board:
        with pytest.raises(RigError, match="walls"):
            await board.wait_mark("never")


async def test_a_room_of_another_shape_is_refused(cache: Path) -> None:
    class Wide:
        def block(self, n: int, played: NDArray[np.int16]) -> NDArray[np.int16]:
            return np.zeros(320, np.int16)

    flash = build_flash({}, [], main=ECHO + "asyncio.run(run(lambda: None))", cache=cache)
    async with SimBoard(flash, Wide()) as board:
        with pytest.raises(RigError, match=r"not int16 \(320,\)"):
            await board.wait_mark("never")


async def test_something_that_is_no_image_does_not_boot(tmp_path: Path) -> None:
    image = tmp_path / "flash.img"
    image.write_bytes(b"no image" * 200_000)
    with pytest.raises(RigError, match="status 1"):
        async with SimBoard(image, Silence()):
            pass
