"""The table of the device's settings against the settings that the firmware has."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

_ROOT = Path(__file__).parents[2]
_PAGE = _ROOT / "docs" / "reference" / "device.md"
_CODE = _ROOT / "firmware" / "harken_device" / "config.py"


@pytest.fixture(scope="module")
def settings() -> dict[str, tuple[Any, Any]]:
    """Name -> default and rule. It is a literal; the module itself needs MicroPython."""
    for node in ast.parse(_CODE.read_text("utf-8")).body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "SETTINGS":
            assert node.value is not None
            found: dict[str, tuple[Any, Any]] = ast.literal_eval(node.value)
            return found
    raise AssertionError("config.py has no SETTINGS")


def rows() -> dict[str, tuple[Any, str]]:
    """Name -> default and explanation; several settings may share a row of the table."""
    section = _PAGE.read_text("utf-8").split("## Settings")[1].split("\n## ")[0]
    found: dict[str, tuple[Any, str]] = {}
    for line in section.splitlines():
        if line.startswith("| `"):
            names, defaults, what = (cell.strip() for cell in line.strip("| ").split(" | "))
            values = [json.loads(value) for value in re.findall("`([^`]*)`", defaults)]
            pairs = zip(re.findall("`([^`]*)`", names), values, strict=True)
            found.update({name: (value, what) for name, value in pairs})
    return found


def test_the_reference_lists_every_setting_with_its_default(
    settings: dict[str, tuple[Any, Any]],
) -> None:
    told = {name: default for name, (default, _) in rows().items()}
    # As JSON, because to Python 1 and true are the same.
    assert {name: json.dumps(value) for name, value in told.items()} == {
        name: json.dumps(default) for name, (default, _) in settings.items()
    }


def test_the_reference_tells_the_range_of_every_number(
    settings: dict[str, tuple[Any, Any]],
) -> None:
    for name, (_, what) in rows().items():
        default, rule = settings[name]
        if type(default) is int:
            assert f"{rule[0]:,}..{rule[1]:,}" in what, name


def test_the_reference_names_every_choice(settings: dict[str, tuple[Any, Any]]) -> None:
    for name, (_, what) in rows().items():
        default, rule = settings[name]
        if isinstance(default, str) and isinstance(rule, tuple) and default in rule:
            for choice in rule:
                assert choice == default or f'`"{choice}"`' in what, name
