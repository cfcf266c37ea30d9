"""What the model store knows: the models, their files, and where their bytes come from."""

from __future__ import annotations

import difflib
import hashlib
from functools import lru_cache
from importlib import resources
from pathlib import PurePosixPath

import msgspec

from harken.errors import ModelError

__all__ = ["Archive", "Manifest", "Model", "ModelFile", "load_manifest", "parse_manifest"]


class Archive(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something that is downloaded whole.

    Attributes:
        file: its file name in the index or at the URL. A `.whl` or `.zip` is unpacked; anything
            else is itself the one file of its model.
        size: bytes.
        sha256: of all its bytes, in hexadecimal.
        package, version: names it in the package index.
        url: where it lies, if not in the index.
    """

    file: str
    size: int
    sha256: str
    package: str = ""
    version: str = ""
    url: str = ""

    @property
    def source(self) -> str:
        """Where it comes from, for people."""
        return self.url or f"{self.package}=={self.version}"

    @property
    def packed(self) -> bool:
        """Whether models are members of it, rather than the file itself."""
        return self.file.endswith((".whl", ".zip"))


class ModelFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a model: its `path` inside the archive, its `size` in bytes and its hash."""

    path: str
    size: int
    sha256: str

    @property
    def name(self) -> str:
        """Its name in the store."""
        return PurePosixPath(self.path).name


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model of the store.

    Attributes:
        task: what it is for, e.g. "speech to text".
        about: what it is.
        licence: of the weights, an SPDX expression where there is one.
        archive: the archive that its files come from.
        weights: the name of its principal file.
        files: everything it is made of.
        name: what `harken models pull` calls it.
    """

    task: str
    about: str
    licence: str
    archive: str
    weights: str
    files: tuple[ModelFile, ...]
    name: str = ""

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(file.size for file in self.files)

    @property
    def digest(self) -> str:
        """Names exactly these bytes: 12 hexadecimal digits over all file names and hashes."""
        lines = "".join(f"{file.name} {file.sha256}\n" for file in self.files)
        return hashlib.sha256(lines.encode()).hexdigest()[:12]


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All models and the archives they come from, by name."""

    archives: dict[str, Archive]
    models: dict[str, Model]

    def model(self, name: str) -> Model:
        """The model of that name.

        Raises:
            ModelError: there is none; the hint names the nearest.
        """
        if name in self.models:
            return self.models[name]
        near = difflib.get_close_matches(name, self.models, n=1, cutoff=0.5)
        known = f"did you mean {near[0]}?" if near else "`harken models list` shows all"
        raise ModelError(f"there is no model named {name!r}", hint=known)

    def archive_of(self, model: Model) -> Archive:
        """The archive that holds a model."""
        return self.archives[model.archive]


def parse_manifest(text: str) -> Manifest:
    """Read a manifest in TOML.

    Raises:
        ModelError: it is not one, or names something that is not there.
    """
    try:
        manifest = msgspec.toml.decode(text, type=Manifest)
    except msgspec.DecodeError as error:
        raise ModelError(f"the model manifest cannot be read: {error}") from error
    named = {
        name: msgspec.structs.replace(model, name=name) for name, model in manifest.models.items()
    }
    for model in named.values():
        _check(model, manifest)
    return msgspec.structs.replace(manifest, models=named)


def _check(model: Model, manifest: Manifest) -> None:
    """Refuse a model that cannot be put together."""
    names = [file.name for file in model.files]
    if model.archive not in manifest.archives:
        raise ModelError(f"{model.name}: the manifest has no archive {model.archive!r}")
    if model.weights not in names:
        raise ModelError(f"{model.name}: its weights {model.weights!r} are not among its files")
    if len(set(names)) != len(names) or any(name in {"", ".", ".."} for name in names):
        raise ModelError(f"{model.name}: two files of one name, or a file without one")


@lru_cache(maxsize=1)
def load_manifest() -> Manifest:
    """The manifest that this release was made with."""
    text = resources.files("harken_models").joinpath("manifest.toml").read_text(encoding="utf-8")
    return parse_manifest(text)
