"""The real gateway as a program of its own, started and ended by the rig."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, Self

import msgspec

from harken.errors import RigError, StartError, printable
from harken.session.timeline import TurnRecord
from harken_hil.demo.settings import RigSettings

if TYPE_CHECKING:
    from pathlib import Path

_READY_S = 20.0
_AGENT_S = 120.0
_LEAVE_S = 6.0
_POLL_S = 0.02
_LONGEST_TURN_LINE = 1 << 20
_STARTED = msgspec.json.Decoder(dict[str, Any])
_TURN = msgspec.json.Decoder(TurnRecord)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the gateway listens, as URLs."""

    http: str
    websocket: str

    @property
    def bootstrap(self) -> str:
        """Where a device asks for everything else."""
        return f"{self.http}/xiaozhi/ota/"


class GatewayProcess:
    """`harken serve` on loopback and free ports, for as long as the `async with` lasts.

    Args:
        folder: gets its log (`gateway.log`) and its turns (`turns.jsonl`).
        registry: where it remembers devices.
        settings: of everything else; the rig's own unless given.
    """

    def __init__(
        self, folder: Path, *, registry: Path, settings: RigSettings | None = None
    ) -> None:
        self._settings = settings or RigSettings.of()
        self.log = folder / "gateway.log"
        self._turns = folder / "turns.jsonl"
        self._registry = registry
        self._read = 0
        self._process: asyncio.subprocess.Process | None = None
        self.addresses = Addresses("", "")

    async def __aenter__(self) -> Self:
        """Start it and wait until it listens.

        Raises:
            StartError: it does not; the error carries the end of its log.
        """
        self._turns.unlink(missing_ok=True)
        command = [
            *(sys.executable, "-m", "harken.cli", "serve", "--json", "--host", "127.0.0.1"),
            *("--config", str(self._settings.file)),
            *("--http-port", "0", "--websocket-port", "0", "--turns", str(self._turns)),
        ]
        environment = {
            **self._settings.environment,
            "HARKEN_SERVER__REGISTRY": str(self._registry),
        }
        with self.log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        try:
            self.addresses = await self._announced()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """End it: it may drain, then it must go."""
        await self._end()

    async def _announced(self) -> Addresses:
        assert self._process is not None
        assert self._process.stdout is not None
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), _READY_S)
            ready = _STARTED.decode(line)
            return Addresses(str(ready["http"]), str(ready["websocket"]))
        except (TimeoutError, ValueError, KeyError) as error:
            raise StartError(
                f"the gateway did not start: {self._last_words()}",
                hint=f"its log is {self.log}",
            ) from error

    async def agent_ready(self) -> None:
        """Wait until its agent has loaded its models.

        Raises:
            StartError: they cannot be loaded, or it has ended.
        """
        import aiohttp

        deadline = asyncio.get_running_loop().time() + _AGENT_S
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as http:
            while asyncio.get_running_loop().time() < deadline:
                self._check_alive()
                try:
                    async with http.get(f"{self.addresses.http}/healthz") as reply:
                        state = str((await reply.json())["agent"])
                except (aiohttp.ClientError, TimeoutError, KeyError, ValueError):
                    state = "loading"
                if state == "ready":
                    return
                if state != "loading":
                    raise StartError(
                        f"the gateway's agent: {printable(state)}",
                        hint="run `harken models pull`, then try again",
                    )
                await asyncio.sleep(0.1)
        raise StartError("the gateway's agent is still loading", hint=f"its log is {self.log}")

    async def turn(self, *, within_s: float) -> TurnRecord:
        """The next finished turn.

        Raises:
            RigError: none is finished in time, or the gateway has ended.
        """
        try:
            async with asyncio.timeout(within_s):
                while (record := self._next_turn()) is None:
                    self._check_alive()
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            raise RigError(
                f"the gateway finished no turn within {within_s:g} s", hint=f"see {self.log}"
            ) from None
        return record

    def finished_turns(self) -> list[TurnRecord]:
        """The turns that it has finished and nobody has taken yet."""
        turns: list[TurnRecord] = []
        while (record := self._next_turn()) is not None:
            turns.append(record)
        return turns

    async def ended(self) -> NoReturn:
        """Wait until it has ended by itself.

        Raises:
            StartError: it has; the error carries the end of its log.
        """
        assert self._process is not None
        await self._process.wait()
        raise self._gone()

    def _next_turn(self) -> TurnRecord | None:
        if not self._turns.exists():
            return None
        with self._turns.open("rb") as file:
            file.seek(self._read)
            line = file.readline(_LONGEST_TURN_LINE)
        if not line.endswith(b"\n"):
            return None
        self._read += len(line)
        return _TURN.decode(line)

    def _check_alive(self) -> None:
        if self._process is not None and self._process.returncode is not None:
            raise self._gone()

    def _gone(self) -> StartError:
        return StartError(
            f"the gateway has ended: {self._last_words()}", hint=f"its log is {self.log}"
        )

    def _last_words(self) -> str:
        lines = self.log.read_text("utf-8", "replace").strip().splitlines()
        return printable(lines[-1]) if lines else "it said nothing"

    async def _end(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _LEAVE_S)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
