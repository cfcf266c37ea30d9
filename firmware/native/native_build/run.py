"""Runs one program of the build, with a deadline and a readable failure."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from .errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

DEADLINE_S = 300.0


def run(
    command: Sequence[str],
    *,
    cwd: Path | None = None,
    extra_env: Mapping[str, str] | None = None,
    deadline_s: float = DEADLINE_S,
) -> str:
    """Run `command` and return what it printed to stdout.

    Raises:
        BuildError: the program is missing, failed or took longer than `deadline_s`.
    """
    shown = " ".join(command[:8]) + (" ..." if len(command) > 8 else "")
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env={**os.environ, "LC_ALL": "C", **(extra_env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=deadline_s,
            check=False,
        )
    except FileNotFoundError as error:
        raise BuildError(f"{command[0]} was not found: install it and run again") from error
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"`{shown}` did not end within {deadline_s:.0f} s") from error
    if done.returncode:
        told = (done.stderr + done.stdout).strip()[-4000:]
        raise BuildError(f"`{shown}` failed with status {done.returncode}:\n{told}")
    return done.stdout
