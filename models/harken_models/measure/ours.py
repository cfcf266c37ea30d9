"""The models that Harken ships, as files."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import harken_models
from harken.errors import ModelMissingError

__all__ = ["SHIPPED", "shipped_tflite"]

SHIPPED: Final = Path(harken_models.__file__).parent / "shipped"


def shipped_tflite(name: str) -> Path:
    """A shipped model's `.tflite`.

    Raises:
        ModelMissingError: there is none of that name.
    """
    path = SHIPPED / f"{name}.tflite"
    if not path.is_file():
        there = ", ".join(sorted(found.stem for found in SHIPPED.glob("*.tflite")))
        raise ModelMissingError(
            f"there is no shipped model {name!r}",
            hint=f"there are {there or 'none'}; `harken models` lists what trains them",
        )
    return path
