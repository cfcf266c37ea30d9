"""`harken bench relay`: what it costs to carry a frame from a device and back to it.

Three servers echo the frames of the same simulated devices, in turn: the gateway's own door and
link with `PassThrough` behind them, plain picows, and a C program that handles one message a
wake-up. Their CPU time is what the kernel says their threads ran. Streams are added until the
delay that is added to the C program's at the 99th percentile is too long.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from math import inf, isfinite
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec

from harken.errors import RigError
from harken_hil.bench.measure import (
    MIN_ROUNDS,
    BenchResult,
    Figure,
    Goal,
    Setting,
    figure,
    interleave,
)

if TYPE_CHECKING:
    from harken_hil.bench.measure import BenchOptions

__all__ = ["ROUNDS", "SETTINGS", "run"]

ROUNDS: Final = MIN_ROUNDS
SETTINGS: Final = {
    "streams": Setting("devices of the CPU figure", 300, 1, 2_000),
    "seconds": Setting("how long each load of the CPU figure lasts", 1.0, 0.2, 60),
}

_SOURCES: Final = Path(__file__).with_name("relay_c")
_COMPILE_S: Final = 60.0
_READY_S: Final = 20.0
_FRAME_BYTES: Final = 60
_MOST_ADDED_US: Final = 10_000
_STEPS: Final = (500, 1_000, 1_500, 2_000)
_STEP_S: Final = 0.6


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


@dataclass(frozen=True, slots=True)
class _Servers:
    ours: _Server
    rival: _Server
    floor: _Server


def run(options: BenchOptions) -> BenchResult:
    """Measure for a minute or two.

    Raises:
        RigError: there is no C compiler, or a server or the load failed.
    """
    settings = {name: setting.default for name, setting in SETTINGS.items()} | {**options.settings}
    streams, seconds = int(settings["streams"]), settings["seconds"]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="harken-bench-")))
        load = _compiled("load", folder)
        servers = _Servers(
            ours=stack.enter_context(_Server(_python_server("ours"))),
            rival=stack.enter_context(_Server(_python_server("picows"))),
            floor=stack.enter_context(_Server([str(_compiled("echo", folder))])),
        )
        lines = (
            _cpu(load, servers, streams, seconds, options.rounds),
            _capacity(load, servers, options.rounds),
        )
    return BenchResult("relay", lines)


def _cpu(load: Path, servers: _Servers, streams: int, seconds: float, rounds: int) -> Figure:
    def cpu_us(server: _Server) -> float:
        return _measure(load, server, streams, 20.0, seconds).cpu_us

    samples = interleave(
        ours=lambda: cpu_us(servers.ours),
        rival=lambda: cpu_us(servers.rival),
        floor=lambda: cpu_us(servers.floor),
        rounds=rounds,
    )
    return figure(
        f"CPU per relayed 20 ms frame, {streams} devices",
        "us CPU",
        samples,
        Goal("ratio to floor", "<=", 1.0),
        rival_name="plain picows",
        floor_name="C, epoll, a message a wake-up",
        detail={"ratio_to_rival": round(samples.ratio(), 3)},
    )


def _capacity(load: Path, servers: _Servers, rounds: int) -> Figure:
    """The most streams of 60 ms that one core carries within the delay allowed."""
    tried: list[dict[str, Any]] = []
    for streams in _STEPS:
        tried.append(_try(load, servers, streams, rounds))
        if not tried[-1]["ours_carried"]:
            break
    ours, rival = (_reached(tried, side) for side in ("ours", "rival"))
    goal = Goal("figure", ">=", 1_000)
    return Figure(
        name="streams of 60 ms a core, p99 added <= 10 ms",
        unit="streams",
        figure=ours,
        rival=rival,
        floor=None,
        ratio=ours / rival if rival else None,
        goal=str(goal),
        met=goal.met(ours),
        rounds=rounds,
        discarded=sum(step["discarded"] for step in tried),
        rival_name="plain picows, at the steps tried",
        detail={
            "steps": _STEPS,
            "added_to": "the p99 of the C program in the same round; what is below nought is noise",
            "tried": tried,
        },
    )


def _reached(tried: list[dict[str, Any]], side: str) -> int:
    """The streams of the last step before the first that was too much."""
    reached = 0
    for step in tried:
        if not step[f"{side}_carried"]:
            break
        reached = step["streams"]
    return reached


def _try(load: Path, servers: _Servers, streams: int, rounds: int) -> dict[str, Any]:
    """One load on each server in turn, round after round; the median of the rounds counts.

    The floor's delay is the machine's and the load's own. Whoever loses a frame, or cuts a device
    off, has failed: for ever late.
    """

    def p99_us(server: _Server, *, floor: bool = False) -> float:
        try:
            done = _measure(load, server, streams, 60.0, _STEP_S).load
        except RigError:
            if floor:
                raise
            return inf
        if floor and done.sent > done.received:
            raise RigError("the floor lost frames")
        return done.p99_us if done.sent == done.received else inf

    samples = interleave(
        ours=lambda: p99_us(servers.ours),
        rival=lambda: p99_us(servers.rival),
        floor=lambda: p99_us(servers.floor, floor=True),
        rounds=rounds,
    )
    step: dict[str, Any] = {
        "streams": streams,
        "discarded": samples.discarded,
        "floor_p99_us": median(samples.floor),
    }
    for side, values in (("ours", samples.ours), ("rival", samples.rival)):
        added = [us - floor for us, floor in zip(values, samples.floor, strict=True)]
        carried = [us <= _MOST_ADDED_US for us in added]
        step[f"{side}_p99_us"] = _told(median(values))
        step[f"{side}_added_us"] = _told(median(added))
        step[f"{side}_added_us_rounds"] = [_told(us) for us in added]
        step[f"{side}_carried"] = 2 * sum(carried) > len(carried)
    return step


def _told(us: float) -> float | None:
    """For JSON, which has no number for never."""
    return us if isfinite(us) else None


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
