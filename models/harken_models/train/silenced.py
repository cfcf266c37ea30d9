"""Keeps what C++ libraries print on stderr, past Python, off the terminal."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["silenced"]


@contextlib.contextmanager
def silenced() -> Generator[None]:
    """Send the process's stderr nowhere for a while."""
    saved = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
