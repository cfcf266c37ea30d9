"""Cases written for MicroPython, one pytest test each."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

_CASES = Path(__file__).parents[1] / "data" / "micropython"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test that takes `micropython_case` every `case_…` function of its `CASES` modules."""
    if "micropython_case" not in metafunc.fixturenames:
        return
    modules: tuple[str, ...] = getattr(metafunc.module, "CASES", ())
    found = [
        (module, node.name)
        for module in modules
        for node in ast.parse((_CASES / f"{module}.py").read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("case_")
    ]
    metafunc.parametrize("micropython_case", found, ids=[name for _, name in found])


@pytest.fixture
def run_case(tmp_path: Path) -> Callable[[tuple[str, str]], None]:
    """Runs a case in the real MicroPython, in an empty folder; fails with what it printed."""
    pytest.importorskip("micropython_unix", reason="pip install 'harken[rig]'")
    from harken_hil.micropython import firmware_paths, run_script

    def run(case: tuple[str, str]) -> None:
        script = _CASES / "run_case.py"
        result = run_script(script, *case, str(tmp_path), paths=[_CASES, *firmware_paths()])
        assert result.status == 0, result.output

    return run
