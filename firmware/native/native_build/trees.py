"""Copies of the third-party sources that are built in, kept from one build to the next."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from . import sources
from .errors import BuildError
from .modules import CACHE

if TYPE_CHECKING:
    from collections.abc import Generator

_LOCK_DEADLINE_S = 600.0


@contextmanager
def build_tree(source: sources.Source) -> Generator[Path]:
    """A copy of `source` to run its own `make` in; nobody else builds there meanwhile.

    Raises:
        BuildError: the source cannot be had, or another build held the copy for too long.
    """
    folder = CACHE / "trees"
    folder.mkdir(parents=True, exist_ok=True)
    tree = folder / source.folder
    with (folder / f"{source.folder}.lock").open("w") as lock:
        _hold(lock.fileno(), tree)
        if not tree.exists():
            upstream = sources.obtain(source, CACHE)
            with tempfile.TemporaryDirectory(dir=folder) as aside:
                # `copytree` keeps the times of files, by which `make` sees what is outdated.
                shutil.copytree(upstream, Path(aside) / "tree").rename(tree)
        yield tree


def _hold(lock: int, tree: Path) -> None:
    ends = time.monotonic() + _LOCK_DEADLINE_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > ends:
                raise BuildError(f"another build held {tree} for too long") from error
            time.sleep(0.1)
        else:
            return
