"""Downloads one file whose size and hash are known, and goes on where it was cut off."""

from __future__ import annotations

import hashlib
import re
import time
import urllib.error
from typing import TYPE_CHECKING, Any

from harken.errors import ModelError, ModelHashError
from harken_models.web import NETWORK_ERRORS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harken_models.manifest import Archive
    from harken_models.web import Web

__all__ = ["download", "sha256_of"]

_CHUNK = 256 * 1024
# Interruptions in a row without one new byte before giving up.
_ATTEMPTS = 4
# A server that sends less than this in a window is taken for stalled.
_WINDOW_S, _WINDOW_BYTES = 20.0, 16 * 1024


class _InterruptedError(Exception):
    """The transfer broke off; what has come so far is good."""


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def download(
    archive: Archive,
    url: str,
    part: Path,
    web: Web,
    report: Callable[[int, int], None],
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Bring `part` to the archive's full, verified bytes.

    Bytes already in `part` are kept and continued by an HTTP Range request where the server
    knows those. A part that turns out wrong is removed; if it was a continued one, it is fetched
    once more from the start.

    Args:
        archive: names the size and hash it must have.
        url: where it lies.
        part: the file that grows; it and nothing else is written.
        web: opens the URL.
        report: called with bytes there and bytes in all as they come.
        pause: waits some seconds between attempts.

    Raises:
        ModelHashError: the bytes are not those of the manifest; `part` is gone.
        ModelError: they could not be had; `part` stays, to be continued.
    """
    continued = part.is_file() and part.stat().st_size > 0
    _fill(archive, url, part, web, report, pause)
    if _is_right(archive, part):
        return
    part.unlink()
    if continued:
        _fill(archive, url, part, web, report, pause)
        if _is_right(archive, part):
            return
        part.unlink()
    raise ModelHashError(
        f"{archive.file} from {url} is not what the manifest names: its size or SHA-256 differs",
        hint="it was thrown away; pull again, and if it comes wrong again, distrust that index",
    )


def _is_right(archive: Archive, part: Path) -> bool:
    return part.stat().st_size == archive.size and sha256_of(part) == archive.sha256


def _fill(
    archive: Archive,
    url: str,
    part: Path,
    web: Web,
    report: Callable[[int, int], None],
    pause: Callable[[float], None],
) -> None:
    """Read until `part` holds at least the archive's size."""
    failures = 0
    while _length(part) < archive.size:
        before = _length(part)
        try:
            _continue(archive, url, part, web, report)
        except _InterruptedError as error:
            failures = 1 if _length(part) > before else failures + 1
            if failures >= _ATTEMPTS:
                raise ModelError(
                    f"{archive.file} could not be downloaded: {error}",
                    hint="check the network, then run the same again: it goes on where it stopped",
                ) from error
            pause(0.25 * 2**failures)


def _length(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0


def _continue(
    archive: Archive, url: str, part: Path, web: Web, report: Callable[[int, int], None]
) -> None:
    """One request, appended to `part`; `part` starts anew where the server cannot continue it."""
    start = _length(part)
    try:
        response = web.open(url, {"Range": f"bytes={start}-"} if start else None)
    except urllib.error.HTTPError as error:
        with error:
            _refused(error, archive, part)
        return
    except NETWORK_ERRORS as error:
        raise _InterruptedError(str(error)) from error
    with response:
        if not _continues(response, start, archive.size):
            start = 0
        with part.open("r+b" if start else "wb") as file:
            file.seek(start)
            _copy(response, file, start, archive.size, report)


def _refused(error: urllib.error.HTTPError, archive: Archive, part: Path) -> None:
    """Judge an HTTP status that is no success."""
    if error.code == 416:
        part.unlink(missing_ok=True)
    elif error.code not in {408, 425, 429} and error.code < 500:
        raise ModelError(
            f"{archive.file} could not be downloaded: HTTP {error.code} {error.reason}",
            hint="check `python -m pip config list`: the index may want a password or lack it",
        )
    raise _InterruptedError(f"HTTP {error.code} {error.reason}")


def _continues(response: Any, start: int, size: int) -> bool:
    """Whether the response holds the bytes from `start` on, of a file of that size."""
    if response.status != 206:
        return False
    told = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if told and int(told[1]) == start and told[2] in {"*", str(size)}:
        return True
    raise _InterruptedError("the server sent another range than was asked for")


def _copy(
    response: Any, file: Any, start: int, size: int, report: Callable[[int, int], None]
) -> None:
    """Append the response to `file`, at most one byte beyond `size`."""
    done = start
    window_began, window_bytes = time.monotonic(), 0
    report(done, size)
    while done <= size:
        try:
            chunk: bytes = response.read1(min(_CHUNK, size + 1 - done))
        except NETWORK_ERRORS as error:
            raise _InterruptedError(str(error) or type(error).__name__) from error
        if not chunk:
            break
        file.write(chunk)
        done += len(chunk)
        report(min(done, size), size)
        window_bytes += len(chunk)
        if time.monotonic() - window_began > _WINDOW_S:
            if window_bytes < _WINDOW_BYTES:
                raise _InterruptedError("the server sends next to nothing")
            window_began, window_bytes = time.monotonic(), 0
    if done < size:
        raise _InterruptedError(f"it broke off after {done:,} of {size:,} bytes")
