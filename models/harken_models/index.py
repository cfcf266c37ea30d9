"""Finds an archive in the package index, as pip is configured here.

The simple repository API in JSON (PEP 691) and HTML (PEP 503), over HTTP or as local folders, and
pip's `find-links`. No index is named here: pip's settings and pip's own default say where to look.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import url2pathname

import msgspec

from harken.errors import ModelError
from harken_models.web import NETWORK_ERRORS, Web

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from harken_models.manifest import Archive

__all__ = ["PackageIndex", "PipSettings", "pip_settings"]

_JSON = "application/vnd.pypi.simple.v1+json"
_ACCEPT = f"{_JSON}, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
_PIP_DEADLINE_S = 30


@dataclass(frozen=True, slots=True)
class PipSettings:
    """The settings of pip that say where packages come from.

    Attributes:
        indexes: roots of simple repositories, the main one first.
        find_links: folders, or pages with links.
        cert: a file of certificate authorities; empty for the system's.
        proxy: URL of a proxy; empty for the environment's.
        timeout_s: the longest silence on a connection.
    """

    indexes: tuple[str, ...]
    find_links: tuple[str, ...] = ()
    cert: str = ""
    proxy: str = ""
    timeout_s: float = 15.0

    def web(self) -> Web:
        """Reads URLs by these settings."""
        return Web(cert=self.cert or None, proxy=self.proxy or None, timeout_s=self.timeout_s)


def pip_settings() -> PipSettings:
    """What `python -m pip config list` says, pip's default index where it says nothing.

    Raises:
        ModelError: no index is set and there is no pip to ask for its default.
    """
    options = _pip_options()
    main = options.get("index-url") or _default_index(required="no-index" not in options)
    no_index = options.get("no-index", "").lower() in {"1", "true", "yes", "on"}
    indexes = () if no_index else (main, *options.get("extra-index-url", "").split())
    try:
        timeout_s = float(options.get("default-timeout") or options.get("timeout") or 15)
    except ValueError:
        timeout_s = 15.0
    return PipSettings(
        indexes=tuple(index for index in indexes if index),
        find_links=tuple(options.get("find-links", "").split()),
        cert=options.get("cert", ""),
        proxy=options.get("proxy", ""),
        timeout_s=min(max(timeout_s, 1.0), 60.0),
    )


def _pip_options() -> dict[str, str]:
    """Option -> value, the environment over `[download]` over `[install]` over `[global]`."""
    environment = {
        key[4:].lower().replace("_", "-"): value
        for key, value in os.environ.items()
        if key.startswith("PIP_")
    }
    if importlib.util.find_spec("pip") is None:
        return environment
    command = [sys.executable, "-m", "pip", "config", "list"]
    try:
        listed = subprocess.run(
            command, capture_output=True, text=True, timeout=_PIP_DEADLINE_S, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return environment
    sections: dict[str, dict[str, str]] = {"global": {}, "install": {}, "download": {}}
    for line in listed.splitlines():
        match = re.fullmatch(r"(global|install|download)\.([a-z-]+)=(.*)", line.strip())
        if match:
            sections[match[1]][match[2]] = str(ast.literal_eval(match[3]))
    return {**sections["global"], **sections["install"], **sections["download"], **environment}


def _default_index(*, required: bool) -> str:
    """The index that pip uses when nothing is configured."""
    try:
        return str(importlib.import_module("pip._internal.models.index").PyPI.simple_url)
    except (ImportError, AttributeError) as error:
        if not required:
            return ""
        raise ModelError(
            "no package index is configured and pip, which knows the usual one, is not installed",
            hint="set PIP_INDEX_URL",
        ) from error


class PackageIndex:
    """The indexes and links of some pip settings.

    Args:
        settings: where to look.
        web: reads the pages.
    """

    def __init__(self, settings: PipSettings, web: Web) -> None:
        self._settings = settings
        self._web = web

    def urls(self, archive: Archive) -> Iterator[str]:
        """Every URL at which the archive lies, local ones first; found as they are asked for.

        Raises:
            ModelError: none was found; it says where was looked and what happened there.
        """
        if archive.url:
            yield archive.url
            return
        found = False
        failures: list[str] = []
        for place in self._places(archive.package):
            try:
                links = self._links(place)
            except NETWORK_ERRORS as error:
                failures.append(f"{urlsplit(place).hostname or place}: {error}")
                continue
            for link in links:
                if unquote(urlsplit(link).path).rsplit("/", 1)[-1] == archive.file:
                    found = True
                    yield link.partition("#")[0]
        if not found:
            why = "; ".join(failures) or "it is not listed there"
            raise ModelError(
                f"{archive.file} was not found in the package index ({why})",
                hint="check the network and `python -m pip config list`, then run the same again: "
                "what was already pulled is kept",
            )

    def _places(self, package: str) -> list[str]:
        """Folders and pages that may list files of a package."""
        name = re.sub(r"[-_.]+", "-", package).lower()
        places = [
            Path(link).absolute().as_uri() if "://" not in link else link
            for link in self._settings.find_links
        ]
        places += [f"{index.rstrip('/')}/{name}/" for index in self._settings.indexes]
        return sorted(places, key=lambda place: not place.startswith("file:"))

    def _links(self, place: str) -> list[str]:
        """Absolute URLs of all files that a folder or page lists."""
        parts = urlsplit(place)
        if parts.scheme == "file":
            folder = Path(url2pathname(parts.path))
            page = folder / "index.html" if folder.is_dir() else folder
            if folder.is_dir() and not page.is_file():
                return [path.as_uri() for path in folder.iterdir() if path.is_file()]
            return _html_links(page.read_text(encoding="utf-8", errors="replace"), page.as_uri())
        text, kind, url = self._web.page(place, _ACCEPT)
        return _json_links(text, url) if kind == _JSON else _html_links(text, url)


class _SimpleFile(msgspec.Struct):
    url: str


class _SimplePage(msgspec.Struct):
    files: list[_SimpleFile]


def _json_links(text: str, base: str) -> list[str]:
    """Files of a PEP 691 page; none where it is not one."""
    try:
        page = msgspec.json.decode(text, type=_SimplePage)
    except msgspec.DecodeError:
        return []
    return [urljoin(base, file.url) for file in page.files]


class _Anchors(HTMLParser):
    """Collects the `href` of every `<a>`, and the `<base>`."""

    def __init__(self, base: str) -> None:
        super().__init__()
        self.base = base
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take an element's link."""
        href: Mapping[str, str | None] = dict(attrs)
        target = href.get("href")
        if tag == "base" and target:
            self.base = urljoin(self.base, target)
        elif tag == "a" and target:
            self.links.append(target)


def _html_links(text: str, base: str) -> list[str]:
    """Files of a PEP 503 page, or of any page of links."""
    anchors = _Anchors(base)
    anchors.feed(text)
    return [urljoin(anchors.base, link) for link in anchors.links]
