"""`harken bench relay`: what it costs to carry a frame from a device and back to it.

Three servers echo the frames of the same simulated devices, in turn: the gateway's own door and
link with `PassThrough` behind them, plain picows, and a C program that handles one message a
wake-up. Their CPU time is what the kernel says their threads ran. A stream more is added until
the delay that the gateway adds at the 99th percentile is too long.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final, Self

import msgspec

from harken.errors import RigError
from harken_hil.bench.measure import BenchResult, Goal, Samples, figure, interleave

if TYPE_CHECKING:
    from harken_hil.bench.measure import BenchOptions, Figure

__all__ = ["run"]

_SOURCES: Final = Path(__file__).with_name("relay_c")
_COMPILE_S: Final = 60.0
_READY_S: Final = 20.0
_FRAME_BYTES: Final = 60
_MOST_ADDED_US: Final = 10_000
_STEPS: Final = (250, 500, 1_000, 1_500, 2_000)
_TRIES: Final = 3
_CAPACITY_S: Final = 15.0


class _Load(msgspec.Struct, frozen=True):
    """What the load saw; see `relay_c/load.c`."""

    sent: int
    received: int
    p50_us: int
    p99_us: int
    max_us: int
    behind_us: int
    took_s: float


@dataclass(frozen=True, slots=True)
class _Run:
    """One load on one server: CPU per echoed frame, and what the load saw."""

    cpu_us: float
    load: _Load


def run(options: BenchOptions) -> BenchResult:
    """Measure for about a minute.

    `--set streams=N` and `--set seconds=S` change the load of the CPU figure.

    Raises:
        RigError: there is no C compiler, or a server or the load failed.
    """
    streams = int(options.number("streams", 300))
    seconds = options.number("seconds", 1.0)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="harken-bench-")))
        load = _compiled("load", folder)
        floor = stack.enter_context(_Server([str(_compiled("echo", folder))]))
        ours = stack.enter_context(_Server(_python_server("ours")))
        rival = stack.enter_context(_Server(_python_server("picows")))

        def cpu(server: _Server) -> float:
            return _measure(load, server, streams, 20.0, seconds).cpu_us

        samples = interleave(
            ours=lambda: cpu(ours),
            rival=lambda: cpu(rival),
            floor=lambda: cpu(floor),
            rounds=options.rounds,
        )
        capacity = _capacity(load, ours, floor)
    return BenchResult("relay", (_cpu_figure(samples, streams), capacity))


def _cpu_figure(samples: Samples, streams: int) -> Figure:
    against_c = Samples(samples.ours, samples.floor, discarded=samples.discarded)
    return figure(
        f"CPU per relayed 20 ms frame, {streams} devices",
        "us CPU",
        against_c,
        Goal("ratio", "<=", 1.0),
        rival_name="C, epoll, a message a wake-up",
        detail={
            "plain_picows_us": round(median(samples.rival), 2),
            "ratio_to_plain_picows": round(samples.ratio(), 3),
        },
    )


def _capacity(load: Path, ours: _Server, floor: _Server) -> Figure:
    """The most streams of 60 ms that one core carries within the delay allowed."""
    reached = 0
    tried: list[dict[str, float]] = []
    deadline = time.monotonic() + _CAPACITY_S
    for streams in _STEPS:
        carried = False
        for _ in range(_TRIES):
            if carried or time.monotonic() > deadline:
                break
            tried.append(_try(load, ours, floor, streams))
            carried = tried[-1]["added_us"] <= _MOST_ADDED_US and not tried[-1]["lost"]
        if not carried:
            break
        reached = streams
    return figure(
        "streams of 60 ms a core, p99 added <= 10 ms",
        "streams",
        Samples((float(reached),)),
        Goal("figure", ">=", 1_000),
        detail={"tried": tried},
    )


def _try(load: Path, ours: _Server, floor: _Server, streams: int) -> dict[str, float]:
    """One load on the floor and on ours; the floor's delay is the machine's and the load's own."""
    floor_run = _measure(load, floor, streams, 60.0, 1.0)
    our_run = _measure(load, ours, streams, 60.0, 1.0)
    return {
        "streams": streams,
        "p50_us": our_run.load.p50_us,
        "p99_us": our_run.load.p99_us,
        "c_p99_us": floor_run.load.p99_us,
        "added_us": our_run.load.p99_us - floor_run.load.p99_us,
        "cpu_us": round(our_run.cpu_us, 2),
        "c_cpu_us": round(floor_run.cpu_us, 2),
        "lost": our_run.load.sent - our_run.load.received,
    }


class _Server:
    """A program that prints its port and serves until its standard input ends."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.port = ""

    def __enter__(self) -> Self:
        assert self._process.stdout is not None
        self.port = self._process.stdout.readline().strip()
        if not self.port:
            self.__exit__()
            raise RigError("a server of the relay bench did not start")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def cpu_ns(self) -> int:
        """What its threads have run so far, by the scheduler's own account."""
        tasks = Path(f"/proc/{self._process.pid}/task")
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir())


def _measure(load: Path, server: _Server, streams: int, frame_ms: float, seconds: float) -> _Run:
    arguments = [server.port, str(streams), str(frame_ms), str(seconds), str(_FRAME_BYTES)]
    with subprocess.Popen(
        [str(load), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        greeted = process.stdout.readline()
        before = server.cpu_ns()
        try:
            said, why = process.communicate("go\n", timeout=seconds + _READY_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise RigError("the load of the relay bench did not end") from None
        spent = server.cpu_ns() - before
    if process.returncode != 0 or not greeted:
        raise RigError(f"the load of the relay bench failed: {why.strip()}")
    result = msgspec.convert(json.loads(said), _Load)
    if not result.received:
        raise RigError("a server of the relay bench echoed nothing")
    return _Run(spent / 1000 / result.received, result)


def _python_server(kind: str) -> list[str]:
    return [sys.executable, "-m", "harken_hil.bench.relay_server", kind]


def _compiled(name: str, folder: Path) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        raise RigError(
            "the relay bench needs a C compiler for its floor and its load",
            hint="install Debian's `gcc` and `libc6-dev`",
        )
    program = folder / name
    source = _SOURCES / f"{name}.c"
    command = [compiler, "-O2", "-o", str(program), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_COMPILE_S, check=False)
    if done.returncode != 0:
        raise RigError(f"{name}.c could not be compiled: {done.stderr.strip()[:400]}")
    return program
