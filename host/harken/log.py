"""Logging: for people or as JSON lines, with the ids of what a line is about, and no secrets.

`bound(device=..., session=..., turn=...)` names what is being worked on; every line logged inside
it, also from tasks started inside it, carries these names.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from harken.errors import HarkenError, StartError, printable

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping
    from pathlib import Path

    from harken.config import LogSettings

__all__ = ["TurnLog", "bound", "bound_names", "setup"]

_NO_NAMES: Final[Mapping[str, str]] = MappingProxyType({})
_NAMES: ContextVar[Mapping[str, str]] = ContextVar("harken_log_names", default=_NO_NAMES)
_MASK: Final = "********"
_BEARER: Final = re.compile(r"(?i)\b(bearer\s+)[\w.~+/=-]{4,}")
_MAX_LINE: Final = 4_000


@contextmanager
def bound(*, device: str = "", session: str = "", turn: str = "") -> Generator[None]:
    """Name what the lines logged inside are about; an empty name leaves an outer one alone."""
    given = {"device": device, "session": session, "turn": turn}
    names = {name: printable(value, 80) for name, value in given.items() if value}
    token = _NAMES.set({**_NAMES.get(), **names})
    try:
        yield
    finally:
        _NAMES.reset(token)


def bound_names() -> Mapping[str, str]:
    """What the lines logged here and now are about."""
    return _NAMES.get()


class _Redaction:
    """Takes secrets out of a line, whatever part of it they came in."""

    def __init__(self, secrets: Iterable[str]) -> None:
        found = sorted((secret for secret in secrets if secret), key=len, reverse=True)
        self._secrets = re.compile("|".join(map(re.escape, found))) if found else None

    def __call__(self, line: str) -> str:
        if self._secrets is not None:
            line = self._secrets.sub(_MASK, line)
        return _BEARER.sub(rf"\1{_MASK}", line)


def _error_line(record: logging.LogRecord) -> str:
    """One line for an error that was meant, "" for none or for one that needs its traceback."""
    error = record.exc_info[1] if record.exc_info else None
    return f"{error} [{error.code}]" if isinstance(error, HarkenError) else ""


class TextFormatter(logging.Formatter):
    """A line for people: time, level, what it is about, message."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        self._redact = _Redaction(secrets)

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line, and its traceback where the error was not foreseen."""
        at = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        about = "".join(f" {name}={value}" for name, value in bound_names().items())
        message = printable(record.getMessage(), _MAX_LINE)
        expected = _error_line(record)
        line = f"{at} {record.levelname.lower():<7}{about} {message}"
        if expected:
            line += f": {printable(expected, _MAX_LINE)}"
        elif record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return self._redact(line)


class JsonFormatter(logging.Formatter):
    """A JSON object a line: `at`, `level`, `logger`, `message`, the names, `error`."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        self._redact = _Redaction(secrets)

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of JSON."""
        fields: dict[str, str] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._redact(printable(record.getMessage(), _MAX_LINE)),
            **{name: self._redact(value) for name, value in bound_names().items()},
        }
        if record.exc_info:
            error = _error_line(record) or self.formatException(record.exc_info)
            fields["error"] = self._redact(error)
        return json.dumps(fields, ensure_ascii=False)


def setup(settings: LogSettings, secrets: Iterable[str] = ()) -> None:
    """Send every log line of this process to stderr as the settings say.

    Args:
        settings: level and format.
        secrets: values that must never be written.
    """
    handler = logging.StreamHandler(sys.stderr)
    formatter = JsonFormatter if settings.format == "json" else TextFormatter
    handler.setFormatter(formatter(secrets))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("harken").setLevel(settings.level.upper())


class TurnLog:
    """A file that gets one JSON line for each turn, in the order they ended.

    It holds what people said, so that only its owner may read it. Lines are written by a thread
    of its own; a process that is killed loses at most the line being written.

    Args:
        path: appended to; made, with its folder, where it is missing.

    Raises:
        StartError: the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise StartError(
                f"the turn log {path} cannot be written: {error.strerror}",
                hint="name another file with --turns or log.turns",
            ) from error
        self._writer = ThreadPoolExecutor(1, "turn log")

    def write(self, turn: bytes) -> None:
        """Add a turn, JSON without a line end; returns at once."""
        self._writer.submit(self._append, turn + b"\n")

    def _append(self, line: bytes) -> None:
        try:
            os.write(self._file, line)
        except OSError:
            logging.getLogger(__name__).exception("a turn could not be written down")

    def close(self) -> None:
        """Write what is left and close the file."""
        self._writer.shutdown()
        os.close(self._file)
