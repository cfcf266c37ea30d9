"""One run of the device's MicroPython: started, listened to, and always ended by its pid."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harken.errors import RigError, printable
from harken_hil.board.flash_image import ROM_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

_LAUNCH = Path(__file__).with_name("launch.py")
_BOOT = Path(__file__).with_name("sim_boot.py")
_LONGEST_LINE = 4096


class DeviceProcess:
    """The MicroPython process of a simulated board.

    Args:
        rig: host:port where the rig listens.
        flash: the board's own image; written to.
        mac: twelve hex digits.
        heap_kib: the device's heap.
        on_line: takes each line of its console.
    """

    def __init__(
        self, rig: str, flash: Path, mac: str, heap_kib: int, on_line: Callable[[str], None]
    ) -> None:
        self._environment = {
            "HARKEN_SIM_RIG": rig,
            "HARKEN_SIM_FLASH": str(flash),
            "HARKEN_SIM_MAC": mac,
            "HARKEN_SIM_ROM_BYTES": str(ROM_BYTES),
        }
        self._heap_kib = heap_kib
        self._on_line = on_line
        self._process: asyncio.subprocess.Process | None = None
        self._console: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """Process id; 0 before it was started."""
        return self._process.pid if self._process else 0

    @property
    def wants_to_run(self) -> bool:
        """Whether it has something to do: it runs, or waits for a processor (Linux alone knows)."""
        state = self._kernel_says("stat").rpartition(") ")[2]
        return state.startswith("R")

    @property
    def ran_s(self) -> float:
        """For how long it has had a processor, so far (Linux alone knows)."""
        words = self._kernel_says("schedstat").split()
        return int(words[0]) / 1e9 if words else 0.0

    def _kernel_says(self, name: str) -> str:
        try:
            return Path(f"/proc/{self.pid}/{name}").read_text("ascii", "replace")
        except OSError:  # it has ended, or there is no such kernel
            return ""

    async def start(self) -> None:
        """Switch the board on.

        Raises:
            RigError: the process cannot be started.
        """
        try:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", str(_LAUNCH)),
                *("-X", f"heapsize={self._heap_kib}k", str(_BOOT)),
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                limit=_LONGEST_LINE,
            )
        except OSError as error:
            raise RigError(f"MicroPython cannot be started: {error}") from error
        self._console = asyncio.create_task(self._listen(), name="board console")

    async def _listen(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        stream = self._process.stdout
        while True:
            try:
                line = await stream.readline()
            except ValueError:  # a line longer than the buffer; its rest comes as further lines
                continue
            if not line:
                return
            self._on_line(printable(line.decode("utf-8", "replace").rstrip(), _LONGEST_LINE))

    async def wait(self) -> int:
        """Wait until it has ended and its console is read; its exit status."""
        assert self._process is not None
        status = await self._process.wait()
        if self._console is not None:
            # A grandchild that held the pipe open would keep the console from ending.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._console, 1.0)
        return status

    async def end(self, patience_s: float) -> int:
        """Wait `patience_s` for it to end by itself, then make it.

        Returns:
            Its exit status, negative where a signal ended it; 0 where it was never started.
        """
        if self._process is None:
            return 0
        for insist in (self._process.terminate, self._process.kill):
            try:
                return await asyncio.wait_for(self.wait(), patience_s)
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    insist()
            patience_s = 1.0
        return await self.wait()

    def kill(self) -> None:
        """End it at once, as a watchdog or a power cut does."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
