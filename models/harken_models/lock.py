"""Keeps two processes from doing the same thing at once."""

from __future__ import annotations

import fcntl
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from harken.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

__all__ = ["exclusive"]

_POLL_S = 0.1


@contextmanager
def exclusive(path: Path, deadline_s: float = 1800.0) -> Generator[None]:
    """Hold the lock file `path`, waiting for whoever holds it; a holder that dies lets go.

    Raises:
        ModelError: it was not free before the deadline.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + deadline_s
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > until:
                    raise ModelError(
                        f"another program has been pulling for {deadline_s:.0f} s ({path})",
                        hint="wait for it or end it, then run the same again",
                    ) from error
                time.sleep(_POLL_S)
        yield
