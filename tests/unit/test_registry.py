"""Devices seen, and what becomes of them over restarts and bad files."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from harken.errors import StartError
from harken.fleet.registry import DeviceRecord, Registry, default_file


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_what_a_device_said_is_kept_until_it_says_otherwise(tmp_path: Path) -> None:
    clock = Clock()
    with closing(Registry(tmp_path / "a" / "devices.sqlite3", now=clock)) as registry:
        registry.seen("aa", board="sim", firmware="1.0")
        clock.now = 200
        registry.seen("aa")
        registry.seen("bb", board="toy")
        clock.now = 150
        registry.seen("aa", firmware="1.1")
        assert registry.devices() == [
            DeviceRecord("aa", "sim", "1.1", 100, 200),
            DeviceRecord("bb", "toy", "", 200, 200),
        ]


def test_it_is_all_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "devices.sqlite3"
    for identity in ("aa", "bb"):
        with closing(Registry(path)) as registry:
            registry.seen(identity)
    with closing(Registry(path)) as registry:
        assert {record.identity for record in registry.devices()} == {"aa", "bb"}


def test_invented_identities_push_out_the_oldest_only(tmp_path: Path) -> None:
    clock = Clock()
    with closing(Registry(tmp_path / "r", max_devices=3, now=clock)) as registry:
        for number in range(10):
            clock.now += 1
            registry.seen(f"d{number}")
        assert [record.identity for record in registry.devices()] == ["d9", "d8", "d7"]


def test_texts_of_devices_are_bounded_and_printable(tmp_path: Path) -> None:
    with closing(Registry(tmp_path / "r")) as registry:
        registry.seen("a\nb" + "x" * 100, board="\x1b[2J", firmware="'; DROP TABLE device; --")
        (record,) = registry.devices()
    assert len(record.identity) == 64
    assert "\n" not in record.identity
    assert "\x1b" not in record.board
    assert record.firmware == "'; DROP TABLE device; --"


def test_threads_may_share_it(tmp_path: Path) -> None:
    with closing(Registry(tmp_path / "r")) as registry:

        def write(number: int) -> None:
            for count in range(10):
                registry.seen(f"{number}-{count}")

        threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert len(registry.devices()) == 40


def test_two_gateways_may_share_the_file(tmp_path: Path) -> None:
    path = tmp_path / "r"
    with closing(Registry(path)) as one, closing(Registry(path)) as other:
        one.seen("aa")
        other.seen("bb")
        assert [r.identity for r in one.devices()] == [r.identity for r in other.devices()]


def test_a_file_that_is_no_registry_is_named(tmp_path: Path) -> None:
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"not a database at all, but long enough to be looked at" * 10)
    with pytest.raises(StartError, match="garbage"):
        Registry(garbage)
    with pytest.raises(StartError, match="cannot be used"):
        Registry(tmp_path)
    with pytest.raises(StartError, match="cannot be used"):
        Registry(garbage / "below")
    newer = tmp_path / "newer"
    with closing(sqlite3.connect(newer)) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(StartError, match="version 99"):
        Registry(newer)


def test_errors_of_the_disk_are_named(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "r")
    registry.close()
    registry.close()
    with pytest.raises(StartError, match="cannot be used"):
        registry.seen("aa")
    with pytest.raises(StartError, match="cannot be used"):
        registry.devices()


def test_its_place() -> None:
    assert default_file({"XDG_DATA_HOME": "/x"}) == Path("/x/harken/devices.sqlite3")
    assert default_file({}).name == "devices.sqlite3"
