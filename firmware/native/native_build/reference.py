"""Builds libopus as its authors do, to compare ours with: a test's reference, never shipped."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from . import sources
from .modules import CACHE
from .run import run

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
    library = CACHE / "reference" / "libopus.so"
    if library.exists():
        return library
    library.parent.mkdir(parents=True, exist_ok=True)
    upstream = sources.obtain(sources.OPUS, CACHE)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="reference-") as folder:
        # `copytree` keeps the times of files, by which `make` sees that nothing is outdated.
        tree = Path(shutil.copytree(upstream, Path(folder) / "opus"))
        run(["./configure", *_OPTIONS], cwd=tree)
        run(["make", "--silent"], cwd=tree)
        shutil.copy(tree / ".libs" / "libopus.so", library)
    return library
