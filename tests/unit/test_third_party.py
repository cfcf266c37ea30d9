"""THIRD_PARTY.md names all that Harken asks for."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

_ROOT = Path(__file__).parents[2]
_STATED = (_ROOT / "THIRD_PARTY.md").read_text()


def debian_packages() -> set[str]:
    """What the arrays of `.ci/setup` hold."""
    arrays = re.findall(r"(?ms)^\w+_packages=\((.*?)^\)", (_ROOT / ".ci/setup").read_text())
    return {name for array in arrays for name in re.sub(r"#.*", "", array).split()}


def python_packages() -> set[str]:
    """Of every extra and group, without versions."""
    project: dict[str, Any] = tomllib.loads((_ROOT / "pyproject.toml").read_text())
    lists = [
        project["project"]["dependencies"],
        *project["project"]["optional-dependencies"].values(),
        *project["dependency-groups"].values(),
    ]
    return {re.split(r"[\[<>=]", each)[0] for names in lists for each in names}


def test_both_lists_are_read() -> None:
    assert {"ffmpeg", "chromium", "festvox-czech-krb", "klettres-data"} <= debian_packages()
    assert {"numpy", "piper-tts", "pyright", "ttspico"} <= python_packages()


@pytest.mark.parametrize("name", sorted(debian_packages() | python_packages()))
def test_what_is_asked_for_is_stated(name: str) -> None:
    plain = re.sub(r"^pytest-.*", "pytest", name)
    assert re.search(rf"(?<![\w-]){re.escape(plain)}(?![\w-])", _STATED), f"{name} has no row"
