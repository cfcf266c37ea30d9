"""The device's state machine, settings and queues, run by the real MicroPython in its real heap."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

pytest.importorskip("micropython_unix", reason="pip install 'harken[rig]'")

from harken_hil.micropython import firmware_paths, run_script

CASES = Path(__file__).parents[1] / "data" / "micropython"


def cases(module: str) -> list[str]:
    """Public functions of a module of cases that take no argument they need."""
    tree = ast.parse((CASES / f"{module}.py").read_text())
    return [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and len(node.args.args) == len(node.args.defaults)
    ]


def run(module: str, case: str, tmp_path: Path) -> None:
    (tmp_path / "case.py").write_text(
        f"import os, sys\nos.chdir({str(tmp_path / 'flash')!r})\n"
        f"sys.argv[1:] = [{module!r}, {case!r}]\nimport run_case\n"
    )
    (tmp_path / "flash").mkdir()
    result = run_script(tmp_path / "case.py", paths=[CASES, *firmware_paths()])
    assert result.status == 0, result.output


@pytest.mark.parametrize("case", cases("app_cases"))
def test_state_machine(case: str, tmp_path: Path) -> None:
    run("app_cases", case, tmp_path)


@pytest.mark.parametrize("case", cases("config_cases"))
def test_settings_and_queues(case: str, tmp_path: Path) -> None:
    run("config_cases", case, tmp_path)
