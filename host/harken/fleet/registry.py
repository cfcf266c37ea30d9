"""The devices that this gateway has seen, in one SQLite file.

Write-ahead logging and one transaction a change: a process killed at any moment leaves the last
complete change. Calls block for as long as the disk takes; from asyncio, use a thread.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harken.errors import StartError, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["DeviceRecord", "Registry", "default_file"]

_SCHEMA_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE device (
    identity TEXT PRIMARY KEY,
    board TEXT NOT NULL DEFAULT '',
    firmware TEXT NOT NULL DEFAULT '',
    first_seen REAL NOT NULL,
    last_seen REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX device_last_seen ON device (last_seen);
"""
_UPSERT: Final = """
INSERT INTO device VALUES (:identity, :board, :firmware, :now, :now)
ON CONFLICT (identity) DO UPDATE SET
    board = iif(:board = '', board, :board),
    firmware = iif(:firmware = '', firmware, :firmware),
    last_seen = max(last_seen, :now)
"""
_FORGET: Final = """
DELETE FROM device WHERE identity IN
    (SELECT identity FROM device ORDER BY last_seen DESC LIMIT -1 OFFSET ?)
"""
_BUSY_S: Final = 5.0
_MAX_TEXT: Final = 64


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """What is known of one device.

    Attributes:
        identity: e.g. its MAC address.
        board: kind of hardware, "" where it never said.
        firmware: version it runs, "" where it never said.
        first_seen, last_seen: seconds since 1970.
    """

    identity: str
    board: str
    firmware: str
    first_seen: float
    last_seen: float


def default_file(environment: Mapping[str, str] | None = None) -> Path:
    """The registry's place when the settings name none."""
    environment = os.environ if environment is None else environment
    home = environment.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(home) / "harken" / "devices.sqlite3"


class Registry:
    """Devices seen, kept on disk. Safe to call from several threads.

    Args:
        path: the SQLite file; it and its folder are made where they are missing.
        max_devices: beyond so many, the one not seen for longest is forgotten, so that a stranger
            who invents identities cannot fill the disk.
        now: seconds since 1970.

    Raises:
        StartError: the file cannot be opened or is not such a registry.
    """

    def __init__(
        self, path: Path, *, max_devices: int = 10_000, now: Callable[[], float] = time.time
    ) -> None:
        self.path = path
        self._max_devices = max_devices
        self._now = now
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._database = sqlite3.connect(
                path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
            )
        except (OSError, sqlite3.Error) as error:
            raise self._unusable(error) from error
        try:
            self._prepare()
        except sqlite3.Error as error:
            self._database.close()
            raise self._unusable(error) from error
        except StartError:
            self._database.close()
            raise

    def _prepare(self) -> None:
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        with self._lock, self._database:
            self._database.execute("BEGIN IMMEDIATE")
            version = int(self._database.execute("PRAGMA user_version").fetchone()[0])
            if version == 0:
                for statement in filter(str.strip, _SCHEMA.split(";")):
                    self._database.execute(statement)
                self._database.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
            elif version != _SCHEMA_VERSION:
                raise StartError(
                    f"the device registry {self.path} has version {version},"
                    f" this program knows {_SCHEMA_VERSION}",
                    hint="use the newer program, or another server.registry",
                )

    def _unusable(self, error: Exception) -> StartError:
        return StartError(
            f"the device registry {self.path} cannot be used: {error}",
            hint="move the file away, or set server.registry to another",
        )

    def seen(self, identity: str, *, board: str = "", firmware: str = "") -> None:
        """A device was here now; what it does not say stays as it was.

        Raises:
            StartError: the disk refuses.
        """
        values = {
            "identity": printable(identity, _MAX_TEXT),
            "board": printable(board, _MAX_TEXT),
            "firmware": printable(firmware, _MAX_TEXT),
            "now": self._now(),
        }
        try:
            with self._lock, self._database:
                self._database.execute("BEGIN IMMEDIATE")
                self._database.execute(_UPSERT, values)
                self._database.execute(_FORGET, (self._max_devices,))
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def devices(self) -> list[DeviceRecord]:
        """Every device known, the one seen last first.

        Raises:
            StartError: the disk refuses.
        """
        query = "SELECT * FROM device ORDER BY last_seen DESC, identity"
        try:
            with self._lock, closing(self._database.execute(query)) as rows:
                return [DeviceRecord(*row) for row in rows]
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def close(self) -> None:
        """Close the file; safe to call twice."""
        with self._lock:
            self._database.close()
