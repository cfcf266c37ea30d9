"""Recordings of many files, decoded once to 16 kHz mono and kept in the user's cache folder.

A collection becomes one array of samples (mapped, not read) and an index of its clips. Its folder
is named after what it was decoded from, so that an upgraded package is decoded anew.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from harken.errors import AudioError, StartError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Samples = np.ndarray[tuple[int], np.dtype[np.int16]]
    Progress = Callable[[int, int], None]

__all__ = ["RATE", "Recording", "cache_root", "decoded"]

RATE: Final = 16_000
_BATCH: Final = 48
_DECODE_S: Final = 180.0
# Files without a header say nothing of what is in them.
_RAW: Final = {
    ".g722": ("-f", "g722"),
    ".raw": ("-f", "s16le", "-ar", str(RATE), "-ac", "1"),
}


class Recording(msgspec.Struct, frozen=True):
    """One decoded file: samples[start:end] of its collection."""

    path: str
    start: int
    end: int


def cache_root() -> Path:
    """Where decoded recordings of this user are kept."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "harken" / "corpora"


def decoded(
    name: str, files: Sequence[Path], progress: Progress | None = None
) -> tuple[Samples, list[Recording]]:
    """All the files of a collection at 16 kHz, mono.

    Args:
        name: of the collection, part of a folder's name.
        files: what ffmpeg can read, `.g722` and headerless `.raw` (int16, 16 kHz) among it.
        progress: called with files decoded and files in all, while there is decoding to do.

    Returns:
        int16 [n], mapped from the cache and read-only, and where each file lies in it.

    Raises:
        StartError: ffmpeg is not installed.
        AudioError: it could not decode a file.
    """
    place = cache_root() / f"{name}-{_digest(files)}"
    if not (place / "index.json").exists():
        _fill(place, files, progress)
    index = msgspec.json.decode((place / "index.json").read_bytes(), type=list[Recording])
    samples = np.load(place / "samples.npy", mmap_mode="r")
    return samples, index


def _digest(files: Sequence[Path]) -> str:
    """Names these files by their paths, sizes and times."""
    digest = hashlib.sha256()
    for path in files:
        status = path.stat()
        digest.update(f"{path} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:12]


def _fill(place: Path, files: Sequence[Path], progress: Progress | None) -> None:
    """Decode into a fresh folder, then put it in its place with one rename."""
    if shutil.which("ffmpeg") is None:
        raise StartError(
            "ffmpeg is not installed: recordings cannot be decoded", hint="apt-get install ffmpeg"
        )
    place.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=".new-", dir=place.parent))
    try:
        parts: list[Samples] = []
        for at in range(0, len(files), _BATCH):
            parts += _decode(files[at : at + _BATCH], fresh)
            if progress is not None:
                progress(len(parts), len(files))
        ends = np.cumsum([part.size for part in parts]).tolist()
        index = [
            Recording(str(path), end - part.size, end)
            for path, part, end in zip(files, parts, ends, strict=True)
        ]
        np.save(fresh / "samples.npy", np.concatenate(parts))
        (fresh / "index.json").write_bytes(msgspec.json.encode(index))
        try:
            fresh.rename(place)
        except OSError:
            if not (place / "index.json").exists():  # else another process was quicker
                raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _decode(batch: Sequence[Path], folder: Path) -> list[Samples]:
    """Decode some files in one process: starting one for each takes longer than decoding."""
    command = ["ffmpeg", "-v", "error", "-nostdin", "-y"]
    for path in batch:
        command += [*_RAW.get(path.suffix, ()), "-i", str(path)]
    outs = [folder / f"{at}.pcm" for at in range(len(batch))]
    for at, out in enumerate(outs):
        command += ["-map", f"{at}:a:0", "-ac", "1", "-ar", str(RATE), "-f", "s16le", str(out)]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_DECODE_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise AudioError(f"ffmpeg took more than {_DECODE_S:.0f} s to decode {batch[0]}") from error
    if done.returncode != 0:
        why = done.stderr.decode(errors="replace").strip().splitlines()
        raise AudioError(
            f"ffmpeg could not decode one of {batch[0]} .. {batch[-1].name}:"
            f" {why[-1] if why else done.returncode}",
            hint="reinstall the package it belongs to",
        )
    parts = [np.fromfile(out, np.int16) for out in outs]
    for out in outs:
        out.unlink()
    return parts
