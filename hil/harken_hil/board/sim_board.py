"""A simulated board: the device's real firmware in a MicroPython process, and its ears and mouth.

The rig is the board's codec chip, its radio and its watchdog. It paces 10 ms blocks in real time:
block n sounds in the room from `n` to `n + 1` blocks after power-on; when it is over, its
microphone samples go to the device, which has until block `n + 2` begins to say what the
loudspeaker plays then. A block that is not there is a glitch: silence.

A busy machine can make the rig itself late, or not let the device's process run. The rig then stops
the room's clock for that time (`slipped_s`) instead of blaming the device.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from harken.errors import MalformedError, RigError, printable
from harken_hil.board.link import DeviceLink
from harken_hil.board.marks import Led, Mark
from harken_hil.board.process import DeviceProcess
from harken_hil.board.sound import RATE, MicSource, Silence
from harken_hil.board.wire import BLOCK, Kind, Message

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from numpy.typing import NDArray

__all__ = ["BLOCK", "RATE", "Led", "Mark", "MicSource", "Silence", "SimBoard"]

_BLOCK_S = BLOCK / RATE
_SLIP_FROM_S = _BLOCK_S / 2
_BOOT_DEADLINE_S = 15.0
_QUIT_DEADLINE_S = 2.0
_WATCHDOG_S = 8.0
_EXIT_RESET = 3
_MOST_BOOTS_IN_VAIN = 4
_MOST_LINES = 10_000
_MOST_MARKS = 10_000
# For so long the rig waits for a device that is not let run; one that sleeps does so by itself.
_LOOK_AGAIN_S = 0.0005
_MOST_LOOKS = 1000
_LOOKS_ASLEEP = 5
_LARGEST_FLASH = 16 * 1024 * 1024


class SimBoard:
    """One simulated board, switched on for as long as the `async with` lasts.

    Args:
        flash: image of `build_flash`; copied, the board writes to its own.
        source: the room.
        mac: the identity in its chip.
        heap_kib: the device's heap.
        watchdog_s: it bites a board that has fed it once and then not for this long.
        boot_s: how long the firmware may take until it listens.

    Attributes:
        marks, leds, logs: what the device said, in order; `logs` is its console too.
        glitches: samples (since power-on) at which a loudspeaker block was missing.
        boots: how often the firmware has started.
        hello: what the device said of itself at its last boot.
        origin: sample of the first microphone block that the firmware was given after its last
            boot; its own count begins there.
        slips: samples at which the rig stopped the clock because it was late itself, and seconds
            for which it did.
    """

    def __init__(
        self,
        flash: Path,
        source: MicSource,
        *,
        mac: str = "02:00:00:00:00:01",
        heap_kib: int = 256,
        watchdog_s: float = _WATCHDOG_S,
        boot_s: float = _BOOT_DEADLINE_S,
    ) -> None:
        self.marks: list[Mark] = []
        self.leds: list[Led] = []
        self.logs: list[str] = []
        self.glitches: list[int] = []
        self.boots = 0
        self.hello: dict[str, Any] = {}
        self.origin = 0
        self.slips: list[tuple[int, float]] = []
        self._image = flash
        self._source = source
        self._mac = mac.replace(":", "")
        self._heap_kib = heap_kib
        self._watchdog_s = watchdog_s
        self._boot_s = boot_s
        self._mic: list[NDArray[np.int16]] = []
        self._speaker: list[NDArray[np.int16]] = []
        self._silence = np.zeros(BLOCK, np.int16)
        self._wifi_up = True
        self._pressed = False
        self._ran_s = 0.0
        self._late = False
        self._device: DeviceLink | None = None
        self._process: DeviceProcess | None = None
        self._resetting = False
        self._changed = asyncio.Event()
        self._failure = ""
        self._stack = contextlib.AsyncExitStack()

    @property
    def now(self) -> int:
        """Samples since power-on; what is heard and played at this moment."""
        return len(self._mic) * BLOCK

    @property
    def slipped_s(self) -> float:
        """For how long the rig stopped the clock in all."""
        return sum(late for _, late in self.slips)

    @property
    def mic(self) -> NDArray[np.int16]:
        """Everything that the microphone has heard: int16 [now], 16 kHz."""
        return np.concatenate(self._mic) if self._mic else np.zeros(0, np.int16)

    @property
    def speaker(self) -> NDArray[np.int16]:
        """Everything that the loudspeaker has played: int16 [now], 16 kHz, in step with `mic`."""
        return np.concatenate(self._speaker) if self._speaker else np.zeros(0, np.int16)

    @property
    def pid(self) -> int:
        """Of the MicroPython process that runs now."""
        return self._process.pid if self._process else 0

    async def __aenter__(self) -> Self:
        """Switch the board on and wait until its firmware listens.

        Raises:
            RigError: it does not boot; the error carries the end of its console.
        """
        try:
            await self._power_on()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Switch it off; the process and every socket are gone afterwards."""
        await self._stack.aclose()

    async def _power_on(self) -> None:
        size = self._image.stat().st_size
        if size > _LARGEST_FLASH:
            raise RigError(f"{self._image} has {size} bytes: not a flash image")
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="harken-")))
        flash = folder / "flash.img"
        shutil.copyfile(self._image, flash)
        server = await asyncio.get_running_loop().create_server(
            lambda: DeviceLink(self._opened, self._obey, self._fail), "127.0.0.1", 0
        )
        self._stack.push_async_callback(_close, server)
        self._stack.callback(self._drop_link)
        port = server.sockets[0].getsockname()[1]
        self._own(asyncio.create_task(self._live(f"127.0.0.1:{port}", flash), name="board"))
        self._stack.push_async_callback(self._quit)
        await self.wait_until(
            lambda: self.boots > 0, timeout=self._boot_s, what="the board did not boot"
        )
        self._own(asyncio.create_task(self._pace(), name="board clock"))

    def _own(self, task: asyncio.Task[None]) -> None:
        self._stack.push_async_callback(_cancel, task)

    async def _live(self, rig: str, flash: Path) -> None:
        """Run the firmware, again after each reset, until it ends for another reason."""
        in_vain = 0
        try:
            while in_vain < _MOST_BOOTS_IN_VAIN:
                boots = self.boots
                process = DeviceProcess(rig, flash, self._mac, self._heap_kib, self._log)
                self._process = process
                try:
                    await process.start()
                    status = await process.wait()
                finally:
                    await process.end(0.0)
                self._drop_link()
                if status != _EXIT_RESET and not self._resetting:
                    self._fail(f"the board ended with status {status}")
                    return
                self._resetting = False
                in_vain = 0 if self.boots > boots else in_vain + 1
            self._fail(f"the firmware reset {in_vain} times and never listened")
        except RigError as error:
            self._fail(str(error))

    async def _quit(self) -> None:
        if self._device is not None:
            self._device.send(Kind.QUIT)
        if self._process is not None:
            await self._process.end(_QUIT_DEADLINE_S)

    async def _pace(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            n = len(self._mic)
            played = await self._played(n)
            heard = self._heard(n, played)
            due += _BLOCK_S
            await asyncio.sleep(due - loop.time())
            late = loop.time() - due
            if late > _SLIP_FROM_S:
                due += late
                self.slips.append((self.now, late))
            self._mic.append(heard)
            self._speaker.append(played)
            self._notify()
            if self._device is None:
                continue
            if self._device.hear(n, heard):
                self.origin = n * BLOCK
            if self._device.starved(loop.time(), self._watchdog_s):
                self._log("rig: the watchdog bites")
                self.reset()

    async def _played(self, n: int) -> NDArray[np.int16]:
        self._late = not await self._let_run(n)
        block = self._device.take(n) if self._device is not None else None
        if block is not None and not self._late:
            return block
        if self._device is not None and self._device.speaks:
            self.glitches.append(n * BLOCK)
        return self._silence

    async def _let_run(self, n: int) -> bool:
        """Wait for block `n` of a device that could not run; False where it is late by itself."""
        process, device = self._process, self._device
        if process is None or device is None:
            return True
        before, self._ran_s = self._ran_s, process.ran_s
        # What it has written may lie in the socket: the loop looks, then takes it.
        for _ in range(2):
            if not device.lacks(n):
                return True
            await asyncio.sleep(0)
        if self._late:  # and was waited for already
            return not device.lacks(n)
        asleep = 0
        for _ in range(_MOST_LOOKS):
            if not device.lacks(n):
                break
            asleep += not process.wants_to_run
            if asleep > _LOOKS_ASLEEP:
                return False
            await asyncio.sleep(_LOOK_AGAIN_S)
        self._ran_s = process.ran_s
        return self._ran_s - before < _BLOCK_S

    def _heard(self, n: int, played: NDArray[np.int16]) -> NDArray[np.int16]:
        try:
            heard = self._source.block(n, played)
        except Exception as error:
            self._fail(f"the room failed in block {n}: {error!r}")
            raise
        if heard.shape != (BLOCK,) or heard.dtype != np.int16:
            what = f"a room gives int16 [160], not {heard.dtype} {heard.shape}"
            self._fail(what)
            raise RigError(what)
        return heard.copy()

    def _opened(self, link: DeviceLink) -> bool:
        """A device connects: one at a time, so that a stranger on loopback cannot take over."""
        if self._device is not None:
            return False
        self._device = link
        link.send(Kind.WIFI, bytes((self._wifi_up,)))
        link.send(Kind.BUTTON, bytes((0, self._pressed)))
        return True

    def _obey(self, link: DeviceLink, message: Message) -> None:
        if message.kind is Kind.LOG:
            self._log(printable(message.payload.decode("utf-8", "replace"), 1000))
        elif message.kind is Kind.LED and len(message.payload) == 3:
            red, green, blue = message.payload
            if len(self.leds) < _MOST_MARKS:
                self.leds.append(Led(self.now, (red, green, blue)))
        elif message.kind is Kind.MARK:
            self._mark(link, message.json())
        elif message.kind is Kind.HELLO:
            self.hello = message.json()
            self.boots += 1
        else:
            raise MalformedError(f"the board sent {message.kind.name}, which only the rig may")
        self._notify()

    def _mark(self, link: DeviceLink, said: dict[str, Any]) -> None:
        name, sample = said.get("mark"), said.get("sample")
        if not isinstance(name, str) or not isinstance(sample, int):
            raise MalformedError(f"a mark without name or sample: {printable(repr(said))}")
        if len(self.marks) < _MOST_MARKS:
            self.marks.append(Mark(printable(name), link.world(sample), said.get("value")))

    def _log(self, line: str) -> None:
        if len(self.logs) < _MOST_LINES:
            self.logs.append(line)
            self._notify()

    def _drop_link(self) -> None:
        if self._device is not None:
            self._device.close()
            self._device = None

    def _fail(self, what: str) -> None:
        self._failure = self._failure or what
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait_until(
        self, condition: Callable[[], object], *, timeout: float = 10.0, what: str = "nothing"
    ) -> None:
        """Wait until `condition()` is true; it is looked at after each message and each block.

        Args:
            condition: of what this object shows.
            timeout: seconds.
            what: names it in the error.

        Raises:
            RigError: it did not come in time, or the board ended.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while not condition():
            changed = self._changed
            if self._failure:
                raise RigError(f"{self._failure}; its last lines: {self._last_lines()}")
            try:
                await asyncio.wait_for(changed.wait(), deadline - loop.time())
            except TimeoutError:
                raise RigError(
                    f"{what} within {timeout:g} s; its last lines: {self._last_lines()}"
                ) from None

    def _last_lines(self) -> str:
        return " | ".join(self.logs[-12:]) or "none"

    async def wait_mark(
        self, name: str, value: object = None, *, timeout: float = 10.0, after: int = 0
    ) -> Mark:
        """Wait for the first mark of that name (and value, unless None).

        Args:
            name: the mark's.
            value: the mark's; None for any.
            timeout: seconds.
            after: marks before this index of `marks` do not count.

        Raises:
            RigError: it did not come in time, or the board ended.
        """

        def found() -> Mark | None:
            for mark in self.marks[after:]:
                if mark.name == name and value in (None, mark.value):
                    return mark
            return None

        wanted = name if value is None else f"{name}={value!r}"
        await self.wait_until(found, timeout=timeout, what=f"no mark {wanted}")
        mark = found()
        assert mark is not None
        return mark

    async def wait_samples(self, samples: int, *, timeout: float = 30.0) -> None:
        """Let the room's clock go on for that many samples.

        Raises:
            RigError: the board ended, or the clock stood still.
        """
        goal = self.now + samples
        await self.wait_until(
            lambda: self.now >= goal, timeout=timeout, what=f"no {samples} samples"
        )

    def press(self, pressed: bool) -> None:
        """Press or release the talk button."""
        self._pressed = pressed
        if self._device is not None:
            self._device.send(Kind.BUTTON, bytes((0, pressed)))

    def wifi(self, up: bool) -> None:
        """Switch the network that the radio hears on or off."""
        self._wifi_up = up
        if self._device is not None:
            self._device.send(Kind.WIFI, bytes((up,)))

    def reset(self) -> None:
        """Reset the chip: the firmware ends where it stands and boots again."""
        self._resetting = True
        self._drop_link()
        if self._process is not None:
            self._process.kill()


async def _close(server: asyncio.Server) -> None:
    server.close()
    await server.wait_closed()


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, Exception):
        await task
