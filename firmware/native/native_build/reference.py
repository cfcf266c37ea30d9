"""Builds libopus as its authors do, to compare ours with: a test's reference, never shipped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import sources
from .run import run
from .trees import build_tree

if TYPE_CHECKING:
    from pathlib import Path

_OPTIONS = (
    "--enable-fixed-point",
    "--disable-float-api",
    "--disable-asm",
    "--disable-intrinsics",
    "--disable-rtcd",
    "--disable-static",
    "--disable-doc",
    "--disable-extra-programs",
    "--quiet",
)


def build_reference() -> Path:
    """Return upstream's own shared library in fixed point, built once into the cache.

    Raises:
        BuildError: the source, a compiler or `make` is missing, or the build failed.
    """
    with build_tree(sources.OPUS) as tree:
        library = tree / ".libs" / "libopus.so"
        if not library.exists():
            run(["./configure", *_OPTIONS], cwd=tree)
            run(["make", "--silent"], cwd=tree)
    return library
