"""A registry whose process is killed in the middle of writing is whole."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from harken.fleet.registry import Registry

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration

_WRITER = """
import sys
from pathlib import Path
from harken.fleet.registry import Registry
registry = Registry(Path(sys.argv[1]))
number = int(sys.argv[2])
while True:
    registry.seen(f"d{number}", board="sim", firmware=str(number))
    print(number, flush=True)
    number += 1
"""


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "devices.sqlite3"
    acknowledged = -1
    for lines in (1, 7, 20):
        with subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path), str(acknowledged + 1)],
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            for _ in range(lines):
                acknowledged = int(process.stdout.readline())
            process.kill()
            rest = process.stdout.read().splitlines()
            acknowledged = max([acknowledged, *(int(line) for line in rest if line)])
        with closing(Registry(path)) as registry:
            known = {record.identity: record for record in registry.devices()}
        assert {f"d{number}" for number in range(acknowledged + 1)} <= set(known)
        assert all(record.firmware == name[1:] for name, record in known.items())
        # The last one may have been written and not acknowledged any more.
        assert len(known) <= acknowledged + 2
        acknowledged = len(known) - 1
