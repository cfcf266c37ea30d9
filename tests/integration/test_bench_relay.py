"""The relay bench's programs: every frame comes back from each of the three servers."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from harken_hil.bench import relay

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("kind", ["c", "picows", "ours"])
def test_every_frame_is_echoed(kind: str, tmp_path: Path) -> None:
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler: `apt-get install gcc libc6-dev`")
    load = relay._compiled("load", tmp_path)
    if kind == "c":
        command = [str(relay._compiled("echo", tmp_path))]
    else:
        command = relay._python_server(kind)
    with relay._Server(command) as server:
        done = relay._measure(load, server, 10, 20.0, 0.4)
    assert done.load.sent == done.load.received >= 190
    assert done.cpu_us > 0
