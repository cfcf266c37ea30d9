"""Cases written for MicroPython, one pytest test each."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

_CASES = Path(__file__).parents[1] / "data" / "micropython"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test that takes `micropython_case` every public function of its `CASES` modules."""
    if "micropython_case" not in metafunc.fixturenames:
        return
    found = [
        (module, node.name)
        for module in metafunc.module.CASES
        for node in ast.parse((_CASES / f"{module}.py").read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("case_")
    ]
    metafunc.parametrize("micropython_case", found, ids=[name for _, name in found])
