"""Runs scripts in the real MicroPython, with the device's heap and a path of their own."""

from __future__ import annotations

import asyncio
import contextlib
import select
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from harken.errors import RigError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

# The console script of the package does the same; this finds the one beside this interpreter.
_MICROPYTHON = "import sys; from micropython_unix import main; sys.exit(main())"
_LONGEST_OUTPUT = 256 * 1024


def firmware_paths() -> list[Path]:
    """The folders in which MicroPython finds `harken_device` and the native modules."""
    import harken_device

    device = Path(harken_device.__file__).parent
    return [device.parent, device / "native" / "x64"]


def _command(script: Path, arguments: Sequence[str], heap_kib: int) -> list[str]:
    start = [sys.executable, "-I", "-c", _MICROPYTHON, "-X", f"heapsize={heap_kib}k"]
    return [*start, str(script), *arguments]


def _environment(paths: Sequence[Path]) -> dict[str, str]:
    return {"MICROPYPATH": ":".join([*map(str, paths), ".frozen"])}


@dataclass(frozen=True, slots=True)
class ScriptResult:
    """How a script ended.

    Attributes:
        status: exit status; 0 is success.
        output: what it printed, errors included.
    """

    status: int
    output: str


def run_script(
    script: Path,
    *arguments: str,
    paths: Sequence[Path],
    heap_kib: int = 256,
    deadline_s: float = 30.0,
    stdin: str = "",
) -> ScriptResult:
    """Run a script to its end.

    Args:
        script: the file; its own folder is on its path.
        arguments: `sys.argv[1:]`.
        paths: folders that it may import from.
        heap_kib: its heap.
        deadline_s: after which it is killed.
        stdin: what it may read.

    Raises:
        RigError: it did not end in time.
    """
    try:
        done = subprocess.run(
            _command(script, arguments, heap_kib),
            env=_environment(paths),
            input=stdin.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=deadline_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        shown = (error.stdout or b"").decode("utf-8", "replace")[-2000:]
        raise RigError(f"{script.name} did not end in {deadline_s} s: {shown}") from error
    return ScriptResult(done.returncode, done.stdout.decode("utf-8", "replace"))


class Conversation:
    """A script that answers each line on its standard input with one line; a context manager.

    Args:
        script: the file; its own folder is on its path.
        paths: folders that it may import from.
        heap_kib: its heap.
    """

    def __init__(self, script: Path, *, paths: Sequence[Path], heap_kib: int = 256) -> None:
        self._process = subprocess.Popen(
            _command(script, (), heap_kib),
            env=_environment(paths),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def ask(self, line: str, deadline_s: float = 10.0) -> str:
        """Say one line and take the answer.

        Raises:
            RigError: the script ended, or did not answer in time.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        with contextlib.suppress(BrokenPipeError):
            stdin.write(line.encode() + b"\n")
            stdin.flush()
        # One answer is one line, so nothing is left in the reader's buffer between two calls.
        if not select.select([stdout], [], [], deadline_s)[0]:
            raise RigError(f"the script did not answer in {deadline_s} s")
        answer = stdout.readline().decode("utf-8", "replace")
        if not answer:
            raise RigError(f"the script ended with status {self._process.wait()}")
        return answer.rstrip("\n")


class Script:
    """A script that runs while the caller's event loop does."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def result(self, deadline_s: float = 30.0) -> ScriptResult:
        """Wait for its end.

        Raises:
            RigError: it did not end in time; it is killed then.
        """
        try:
            output, _ = await asyncio.wait_for(self._process.communicate(), deadline_s)
        except TimeoutError as error:
            raise RigError(f"the script did not end in {deadline_s} s") from error
        return ScriptResult(
            self._process.returncode or 0, output[-_LONGEST_OUTPUT:].decode("utf-8", "replace")
        )


@contextlib.asynccontextmanager
async def script(
    file: Path, *arguments: str, paths: Sequence[Path], heap_kib: int = 256
) -> AsyncGenerator[Script]:
    """Start a script; it is ended when the block is left. Arguments as of `run_script`."""
    process = await asyncio.create_subprocess_exec(
        *_command(file, arguments, heap_kib),
        env=_environment(paths),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield Script(process)
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.communicate()
