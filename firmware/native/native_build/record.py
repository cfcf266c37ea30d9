"""`BUILD.json`: what the committed files were built with, and their hashes."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, TypedDict, cast

from . import sources
from .modules import ROOT

if TYPE_CHECKING:
    from pathlib import Path

RECORD = ROOT / "firmware" / "harken_device" / "native" / "BUILD.json"


class FileRecord(TypedDict):
    """One committed file."""

    bytes: int
    sha256: str


class BuildRecord(TypedDict):
    """The whole of `BUILD.json`; `files` are keyed by their path in the project."""

    compilers: dict[str, str]
    files: dict[str, FileRecord]
    sources: dict[str, str]


def load() -> BuildRecord:
    """Read the record; an empty one where there is none yet."""
    if not RECORD.exists():
        return BuildRecord(compilers={}, files={}, sources={})
    return cast("BuildRecord", json.loads(RECORD.read_text(encoding="utf-8")))


def save(built: dict[str, bytes], compilers: dict[str, str]) -> None:
    """Write `built` into the project and add it to the record."""
    record = load()
    for name, data in built.items():
        path = ROOT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, data)
        record["files"][name] = FileRecord(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    record["compilers"].update(compilers)
    record["sources"] = {
        source.archive: source.sha256 for source in (sources.MICROPYTHON, sources.OPUS)
    }
    _replace(RECORD, (json.dumps(record, indent=2, sort_keys=True) + "\n").encode())


def _replace(path: Path, data: bytes) -> None:
    """Write at once: a running program may have the old file mapped."""
    aside = path.with_name(path.name + ".new")
    aside.write_bytes(data)
    aside.replace(path)
