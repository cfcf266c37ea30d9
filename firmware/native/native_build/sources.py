"""Fetches the third-party sources: Debian source packages, by SHA-256, into the cache.

The system's own package lists stay as they are: a private APT configuration names the system's
mirror, the suite a source lives in, and nothing else.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .errors import BuildError
from .run import run

MIRROR_VARIABLE = "HARKEN_DEBIAN_MIRROR"
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


@dataclass(frozen=True)
class Source:
    """One upstream archive as Debian carries it."""

    package: str
    suite: str
    archive: str
    sha256: str
    folder: str
    """The folder the archive unpacks to."""


OPUS = Source(
    package="opus",
    suite="bookworm",
    archive="opus_1.3.1.orig.tar.gz",
    sha256="65b58e1e25b2a114157014736a3d9dfeaad8d41be1c8179866f144a2fb44ff9d",
    folder="opus-1.3.1",
)
MICROPYTHON = Source(
    package="micropython",
    suite="trixie",
    archive="micropython_1.25.0+ds.orig.tar.xz",
    sha256="7b25be99a502f070b2de81dafc08da7051d992325d6e67daa9045a918fffdbea",
    folder="micropython-1.25.0",
)


def obtain(source: Source, cache: Path) -> Path:
    """Return the unpacked folder of `source`, fetching and verifying its archive when needed.

    Raises:
        BuildError: no mirror is known, the download failed, or the hash differs.
    """
    unpacked = cache / "sources" / source.folder
    if unpacked.is_dir():
        return unpacked
    archive = cache / "downloads" / source.archive
    if not archive.exists():
        _download(source, archive)
    _verify(source, archive)
    unpacked.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=unpacked.parent) as aside:
        _unpack(archive, Path(aside))
        try:
            (Path(aside) / source.folder).rename(unpacked)
        except OSError:
            # Another build unpacked the same archive first.
            if not unpacked.is_dir():
                raise
    return unpacked


def _unpack(archive: Path, into: Path) -> None:
    """Unpack an archive; nothing of it may lie outside (Python before 3.11.4 has no filters)."""
    inside = into.resolve()
    with tarfile.open(archive) as tar:
        for member in tar.getmembers():
            place = inside / member.name
            points_at = [place]
            if member.issym():
                points_at.append(place.parent / member.linkname)
            elif member.islnk():
                points_at.append(inside / member.linkname)
            if not all(path.resolve().is_relative_to(inside) for path in points_at):
                raise BuildError(f"{archive.name} would write outside its folder: {member.name}")
        tar.extraction_filter = getattr(tarfile, "data_filter", None)
        tar.extractall(inside)  # noqa: S202  (every member was looked at)


def _verify(source: Source, archive: Path) -> None:
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != source.sha256:
        archive.unlink()
        raise BuildError(
            f"{source.archive} has SHA-256 {found}, not {source.sha256}: the download was damaged "
            "or the archive was replaced. It was removed; run again, or look at the mirror."
        )


def _download(source: Source, archive: Path) -> None:
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=archive.parent) as aside:
        folder = Path(aside)
        environment = {"APT_CONFIG": str(_private_apt(folder, source))}
        run(["apt-get", "update"], cwd=folder, extra_env=environment)
        run(
            ["apt-get", "source", "--download-only", "--tar-only", source.package],
            cwd=folder,
            extra_env=environment,
        )
        fetched = folder / source.archive
        if not fetched.exists():
            others = sorted(path.name for path in folder.glob("*.tar.*"))
            raise BuildError(
                f"the mirror has {others or 'nothing'} for {source.package} in {source.suite}, "
                f"not {source.archive}. Put that file into {archive.parent} yourself."
            )
        shutil.move(fetched, archive)


def _private_apt(folder: Path, source: Source) -> Path:
    for name in ("state/lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    signed = f"[signed-by={_KEYRING}] " if _KEYRING.exists() else ""
    listed = folder / "debian.list"
    listed.write_text(f"deb-src {signed}{_mirror(source)} {source.suite} main\n", encoding="utf-8")
    configuration = folder / "apt.conf"
    configuration.write_text(
        f'Dir::State "{folder}/state";\n'
        'Dir::State::status "/var/lib/dpkg/status";\n'
        f'Dir::Cache "{folder}/cache";\n'
        f'Dir::Etc::SourceList "{listed}";\n'
        'Dir::Etc::SourceParts "-";\n'
        # The sandbox user could not enter this folder.
        'APT::Sandbox::User "root";\n',
        encoding="utf-8",
    )
    return configuration


def _mirror(source: Source) -> str:
    """The Debian mirror: from the environment, else from the system's own package lists."""
    named = os.environ.get(MIRROR_VARIABLE)
    if named:
        return named
    apt = Path("/etc/apt")
    texts = [
        path.read_text(encoding="utf-8", errors="replace")
        for path in [*sorted((apt / "sources.list.d").glob("*.sources")), apt / "sources.list"]
        if path.exists()
    ]
    for text in texts:
        found = find_mirror(text)
        if found:
            return found
    raise BuildError(
        "no Debian mirror in this system's package lists: set "
        f"{MIRROR_VARIABLE} to one (the folder that holds `dists` and `pool`), or put "
        f"{source.archive} (SHA-256 {source.sha256}) into .cache/native/downloads"
    )


def find_mirror(text: str) -> str | None:
    """The first plain Debian archive (not security, not another distribution) in an APT list."""
    urls: list[str] = re.findall(
        r"^(?:URIs:|deb(?:-src)?(?: \[[^\]]*\])?)\s+(\S+)", text, re.MULTILINE
    )
    return next((url for url in urls if url.rstrip("/").endswith("/debian")), None)
