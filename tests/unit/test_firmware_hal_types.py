"""The check of the firmware's types: what it looks at, and that its corrections cannot go stale."""

from __future__ import annotations

import importlib.util
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

_SCRIPT = Path(__file__).parents[2] / "firmware" / "check_types.py"


@pytest.fixture
def check_types(monkeypatch: pytest.MonkeyPatch) -> Any:
    spec = importlib.util.spec_from_file_location("check_types", _SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "check_types", module)
    spec.loader.exec_module(module)
    return module


def test_every_port_carries_its_own_hal(check_types: Any) -> None:
    hals = {
        port.board: {path.name for path in check_types.carried(port) if path.parent.name == "hal"}
        for port in check_types.PORTS
    }
    own = {"sim.py", "esp32.py", "rp2.py", "chip.py"}
    assert hals["sim"] & own == {"sim.py"}
    assert hals["esp32-s3-devkit"] & own == {"esp32.py", "chip.py"}
    assert hals["pico-2-w"] & own == {"rp2.py", "chip.py"}


def test_every_file_of_the_firmware_is_checked_for_some_port(check_types: Any) -> None:
    checked = {path for port in check_types.PORTS for path in check_types.carried(port)}
    assert checked == set(check_types.DEVICE.rglob("*.py"))


def test_what_a_board_leaves_out_exists(check_types: Any) -> None:
    for board in (check_types.FIRMWARE / "boards").glob("*.toml"):
        for name in tomllib.loads(board.read_text("utf-8"))["leave_out"]:
            assert (check_types.DEVICE / name).is_file(), f"{board.name}: {name}"


def test_a_correction_that_no_longer_fits_is_an_error(check_types: Any, tmp_path: Path) -> None:
    name, wrong, right = check_types._CORRECTIONS[1]
    stub = tmp_path / name
    stub.write_text("\n".join(each for file, each, _ in check_types._CORRECTIONS if file == name))
    check_types.correct(tmp_path)
    assert right in stub.read_text()
    assert wrong not in stub.read_text()
    with pytest.raises(LookupError, match="no longer says"):
        check_types.correct(tmp_path)
