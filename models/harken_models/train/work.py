"""A folder of finished stages: what was done once is not done again.

Each stage is a folder of files, made under another name and put in its place by one rename, with a
note of what it was made from and the hashes of what it holds. A run that was interrupted goes on at
the stage it was in; a stage whose inputs changed, or whose files were touched, is made anew.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harken.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence
    from pathlib import Path

    from harken_models.train.progress import Progress, Report

__all__ = ["Stage", "Work"]

_NOTE = "stage.json"


@dataclass(frozen=True)
class Stage:
    """A finished stage: the folder with its files, a hash of all of them, and how long it took."""

    folder: Path
    digest: str
    seconds: float


class Work:
    """The folder of one piece of work.

    Args:
        folder: is made if it is not there.
        progress: what shows how far a stage is.

    Raises:
        StartError: the folder cannot be written.
    """

    def __init__(self, folder: Path, progress: Progress) -> None:
        self.folder = folder
        self._progress = progress
        with self._writing():
            folder.mkdir(parents=True, exist_ok=True)

    def stage(
        self,
        name: str,
        about: str,
        make: Callable[[Path, Report], None],
        made_from: Mapping[str, Any],
        after: Sequence[Stage] = (),
    ) -> Stage:
        """A stage, made now unless it is there.

        Args:
            name: of its folder.
            about: what a person sees while it is made.
            make: makes it: writes files into the folder given, and reports (done, of, note).
            made_from: settings that change what is made; JSON.
            after: stages that it reads.

        Raises:
            StartError: the folder cannot be written, or the disk is full.
        """
        inputs = {"settings": made_from, "after": [stage.digest for stage in after]}
        key = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()
        place = self.folder / name
        if (found := _finished(place, key)) is not None:
            self._progress.found(about)
            return found
        fresh = self.folder / f".{name}.part"
        with self._writing():
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir()
            began = time.monotonic()
            with self._progress.showing(about) as report:
                make(fresh, report)
            done = Stage(place, _digest(fresh), round(time.monotonic() - began, 1))
            note = {"key": key, "digest": done.digest, "seconds": done.seconds}
            (fresh / _NOTE).write_text(json.dumps(note), encoding="utf-8")
            shutil.rmtree(place, ignore_errors=True)
            fresh.rename(place)
        return done

    @contextmanager
    def _writing(self) -> Generator[None]:
        try:
            yield
        except OSError as error:
            raise StartError(
                f"the folder {self.folder} cannot be written ({error})",
                hint="free some space or name another folder; finished stages are kept",
            ) from error


def _finished(place: Path, key: str) -> Stage | None:
    try:
        note = json.loads((place / _NOTE).read_bytes())
        if note["key"] == key and note["digest"] == _digest(place):
            return Stage(place, note["digest"], note["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


def _digest(place: Path) -> str:
    """Of the names and bytes of all files, the note left out."""
    whole = hashlib.sha256()
    for path in sorted(place.rglob("*")):
        if path.is_file() and path.name != _NOTE:
            with path.open("rb") as file:
                each = hashlib.file_digest(file, "sha256").hexdigest()
            whole.update(f"{path.relative_to(place)} {each}\n".encode())
    return whole.hexdigest()
