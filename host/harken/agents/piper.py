"""Piper beside this process: keeps its program warm and starts it again should it die."""

from __future__ import annotations

import asyncio
import json
import logging
import struct
import sys
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harken.errors import AgentError, printable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

__all__ = ["PiperTts"]

_log = logging.getLogger(__name__)

_PROGRAM: Final = Path(__file__).with_name("piper_program.py")
_LOAD_DEADLINE_S: Final = 60.0
_SPEAK_DEADLINE_S: Final = 30.0
_END_DEADLINE_S: Final = 2.0
_MOST_TEXT: Final = 2_000
_MOST_FRAME: Final = 64 * 1024 * 1024
_MOST_DIAGNOSTICS: Final = 4_000
_HINT: Final = 'see that `pip install "harken[local]"` and `harken models verify` are content'


@dataclass(eq=False, slots=True)
class _Request:
    """One text to speak; its audio, `None` at the end, or what went wrong."""

    number: int
    text: str
    answer: asyncio.Queue[bytes | AgentError | None] = field(
        default_factory=asyncio.Queue[bytes | AgentError | None]
    )


class PiperTts:
    """A Piper voice, in a program of its own.

    One text is spoken at a time, in the order of asking; what is no longer wanted is skipped.

    Args:
        voice: the voice's `.onnx`, its `.onnx.json` beside it.
        threads: CPU threads.
        program: the Python file to run instead of the one beside this file.
    """

    def __init__(self, voice: Path, threads: int = 2, program: Path = _PROGRAM) -> None:
        self._command = (sys.executable, "-P", str(program), str(voice), str(threads))
        self._starting = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._pending: deque[_Request] = deque()
        self._current: _Request | None = None
        self._overdue: asyncio.TimerHandle | None = None
        self._number = 0
        self._rate = 22_050
        self._closed = False

    @property
    def rate(self) -> int:
        """See `TextToSpeech.rate`."""
        return self._rate

    async def prepare(self) -> None:
        """Start the program and wait until its voice is loaded.

        Raises:
            AgentError: it did not start.
        """
        async with self._starting:
            if self._closed:
                raise AgentError("the voice was closed")
            if self._process is None:
                await self._start()

    async def speak(self, text: str) -> AsyncGenerator[bytes]:
        """See `TextToSpeech.speak`."""
        await self.prepare()
        self._number += 1
        request = _Request(self._number, text[:_MOST_TEXT])
        self._pending.append(request)
        self._send_next()
        try:
            while (piece := await request.answer.get()) is not None:
                if isinstance(piece, AgentError):
                    raise piece
                yield piece
        finally:
            with suppress(ValueError):
                self._pending.remove(request)

    async def close(self) -> None:
        """End the program; it has a moment to do so by itself."""
        self._closed = True
        async with self._starting:
            await self._end()

    async def _start(self) -> None:
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                # Ctrl-C is for the gateway, which then ends this program.
                start_new_session=True,
            )
        except OSError as error:
            raise AgentError(f"Piper's program cannot be started: {error}", hint=_HINT) from error
        assert process.stdout is not None
        assert process.stderr is not None
        self._process = process
        complaints = asyncio.create_task(_tail(process.stderr))
        try:
            async with asyncio.timeout(_LOAD_DEADLINE_S):
                _, hello = await _frame(process.stdout)
            self._rate = int(json.loads(hello)["rate"])
        except (TimeoutError, asyncio.IncompleteReadError, OSError, ValueError, KeyError) as error:
            await self._end()
            why = (await complaints).strip().splitlines()[-1:] or ["it said nothing"]
            raise AgentError(
                f"Piper's program did not get ready: {printable(why[0])}", hint=_HINT
            ) from error
        except asyncio.CancelledError:
            await self._end()
            await complaints
            raise
        self._reader = asyncio.create_task(self._read(process, complaints))

    async def _read(
        self, process: asyncio.subprocess.Process, complaints: asyncio.Task[str]
    ) -> None:
        """Hand out frames until the program ends, then tell everyone who waits."""
        assert process.stdout is not None
        with suppress(asyncio.IncompleteReadError, OSError, ValueError):
            while True:
                number, payload = await _frame(process.stdout)
                self._take(number, payload)
        await _ended(process)
        if self._process is process:
            self._process = None
        why = (await complaints).strip().splitlines()[-1:]
        if not self._closed:
            _log.warning("Piper's program ended: %s", printable(" ".join(why) or "no reason given"))
        self._fail_all()

    def _take(self, number: int, payload: bytes) -> None:
        request = self._current
        if request is None or request.number != number:
            return
        request.answer.put_nowait(payload or None)
        if not payload:
            self._finish_current()
            self._send_next()

    def _send_next(self) -> None:
        """Give the program its next text, if it has none."""
        if self._current is not None or not self._pending or self._process is None:
            return
        assert self._process.stdin is not None
        self._current = request = self._pending.popleft()
        line = json.dumps({"id": request.number, "text": request.text})
        # Should the pipe be broken, the reader notices and tells the requests.
        self._process.stdin.write(line.encode() + b"\n")
        loop = asyncio.get_running_loop()
        self._overdue = loop.call_later(_SPEAK_DEADLINE_S, self._process.kill)

    def _finish_current(self) -> None:
        self._current = None
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None

    def _fail_all(self) -> None:
        waiting = [*self._pending, *([self._current] if self._current else [])]
        self._pending.clear()
        self._finish_current()
        for request in waiting:
            request.answer.put_nowait(
                AgentError(
                    "Piper's program ended while it spoke", hint="the next answer restarts it"
                )
            )

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            await _ended(process)
        if self._reader is not None:
            await self._reader
            self._reader = None


async def _frame(stream: asyncio.StreamReader) -> tuple[int, bytes]:
    """The next frame of the program: the number of its request, and its payload."""
    number, length = struct.unpack("<II", await stream.readexactly(8))
    if length > _MOST_FRAME:
        raise ValueError(f"a frame of {length} bytes")
    return number, await stream.readexactly(length)


async def _tail(stream: asyncio.StreamReader) -> str:
    """The end of everything a stream says."""
    tail = b""
    while data := await stream.read(4096):
        tail = (tail + data)[-_MOST_DIAGNOSTICS:]
    return tail.decode(errors="replace")


async def _ended(process: asyncio.subprocess.Process) -> None:
    """See a program to its end: ask by closing its input, then kill."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(_END_DEADLINE_S):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
