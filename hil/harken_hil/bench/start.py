"""`harken bench start`: how long until the help is there, and until the gateway is ready."""

from __future__ import annotations

import json
import select
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from harken.errors import RigError
from harken_hil.bench.measure import (
    MIN_ROUNDS,
    BenchOptions,
    BenchResult,
    Goal,
    Samples,
    Setting,
    figure,
    interleave,
)
from harken_hil.demo.settings import RigSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

__all__ = ["ROUNDS", "SETTINGS", "run"]

ROUNDS: Final = MIN_ROUNDS
SETTINGS: Final[dict[str, Setting]] = {}

_HARKEN: Final = (sys.executable, "-m", "harken.cli")
_DEADLINE_S: Final = 30.0
_CALIBRATION_RUNS: Final = 10
_BUSY: Final = 1.5
"""A round in which bare Python takes so many times its best says more of the machine than of us."""


def run(options: BenchOptions) -> BenchResult:
    """Start processes and take the time by the wall clock, as a person would.

    Raises:
        RigError: a process did not do what it must, or the machine is too busy.
    """
    with tempfile.TemporaryDirectory(prefix="harken-bench-") as folder:
        environment = _clean_environment(Path(folder))

        def help_ms() -> float:
            return _run_ms([*_HARKEN, "--help"], environment)

        def bare_ms() -> float:
            return _run_ms([sys.executable, "-c", "pass"], environment)

        exits_ms: list[float] = []

        def ready_ms() -> float:
            ready, leave = _serve_ms(environment)
            exits_ms.append(leave)
            return ready

        shown = _against_bare(help_ms, bare_ms, options.rounds)
        ready = _against_bare(ready_ms, bare_ms, options.rounds)
    bare = "python -c pass"
    return BenchResult(
        "start",
        (
            figure("harken --help", "ms", shown, Goal("figure", "<=", 250), floor_name=bare),
            figure(
                "harken serve until ready, models not waited for",
                "ms",
                ready,
                Goal("figure", "<=", 2_000),
                floor_name=bare,
                detail={"sigterm_to_exit_ms": [round(ms) for ms in exits_ms]},
            ),
        ),
    )


def _against_bare(ours: Callable[[], float], bare: Callable[[], float], rounds: int) -> Samples:
    ours()  # once to warm the disk cache and write the bytecode
    best = min(bare() for _ in range(_CALIBRATION_RUNS))
    return interleave(
        ours=ours,
        floor=bare,
        floor_holds=lambda ms: ms <= _BUSY * best,
        rounds=rounds,
    )


def _clean_environment(folder: Path) -> dict[str, str]:
    """The rig's, with a registry of its own."""
    rigs = RigSettings.of()
    own = {"XDG_DATA_HOME": str(folder / "data"), "HARKEN_CONFIG": str(rigs.file)}
    return {**rigs.environment, **own}


def _run_ms(command: list[str], environment: Mapping[str, str]) -> float:
    began = time.perf_counter()
    done = subprocess.run(
        command,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        timeout=_DEADLINE_S,
        check=False,
    )
    took = (time.perf_counter() - began) * 1000
    if done.returncode != 0:
        raise RigError(f"{' '.join(command)} failed: {done.stderr.decode(errors='replace')[-500:]}")
    return took


@contextmanager
def _process(
    command: list[str], environment: Mapping[str, str]
) -> Generator[subprocess.Popen[bytes]]:
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=errors)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()


def _first_line(stream: IO[bytes]) -> bytes:
    readable, _, _ = select.select([stream], [], [], _DEADLINE_S)
    if not readable:
        raise RigError(f"`harken serve` was not ready after {_DEADLINE_S:g} s")
    return stream.readline()


def _serve_ms(environment: Mapping[str, str]) -> tuple[float, float]:
    """Time until ready, and from SIGTERM until it is gone."""
    command = [*_HARKEN, "serve", "--json", "--http-port", "0", "--websocket-port", "0"]
    began = time.perf_counter()
    with _process(command, environment) as process:
        assert process.stdout is not None
        line = _first_line(process.stdout)
        ready = (time.perf_counter() - began) * 1000
        if not line or json.loads(line).get("event") != "ready":
            raise RigError(f"`harken serve` did not say that it is ready but {line[:200]!r}")
        told = time.perf_counter()
        process.terminate()
        process.wait(_DEADLINE_S)
        return ready, (time.perf_counter() - told) * 1000
