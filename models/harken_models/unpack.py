"""Takes the files of one model out of a downloaded archive, verifying each."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from typing import IO, TYPE_CHECKING

from harken.errors import ModelHashError

if TYPE_CHECKING:
    from pathlib import Path

    from harken_models.manifest import Archive, Model, ModelFile

__all__ = ["unpack"]

_CHUNK = 1024 * 1024


def unpack(archive: Archive, source: Path, model: Model, folder: Path) -> None:
    """Write a model's files into `folder`.

    Args:
        archive: says whether `source` is packed.
        source: the downloaded file, verified.
        model: names the members and their hashes.
        folder: an empty folder.

    Raises:
        ModelHashError: a member is missing, or is not what the manifest names.
    """
    if not archive.packed:
        shutil.copyfile(source, folder / model.files[0].name)
        return
    try:
        with zipfile.ZipFile(source) as packed:
            for file in model.files:
                with packed.open(file.path) as member, (folder / file.name).open("wb") as out:
                    _copy(member, out, file)
    except (zipfile.BadZipFile, KeyError, EOFError, NotImplementedError) as error:
        raise ModelHashError(
            f"{archive.file} does not hold the files of {model.name}: {error}"
        ) from error


def _copy(member: IO[bytes], out: IO[bytes], file: ModelFile) -> None:
    """Copy one member; never more than its stated size."""
    digest = hashlib.sha256()
    left = file.size + 1
    while left > 0 and (chunk := member.read(min(_CHUNK, left))):
        digest.update(chunk)
        out.write(chunk)
        left -= len(chunk)
    if left != 1 or digest.hexdigest() != file.sha256:
        raise ModelHashError(f"{file.name} in the archive is not what the manifest names")
