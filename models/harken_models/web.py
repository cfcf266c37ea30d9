"""Reads URLs as pip would: its certificates, its proxy, its time-out."""

from __future__ import annotations

import ssl
import urllib.parse
import urllib.request
from http.client import HTTPException
from typing import TYPE_CHECKING, Any

from harken.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NETWORK_ERRORS", "Web"]

# Everything that a broken network makes urllib raise (time-outs are OSErrors).
NETWORK_ERRORS = (OSError, HTTPException)

_SCHEMES = {"http", "https", "file"}
_PAGE_LIMIT = 32 * 1024 * 1024


class Web:
    """Opens `http`, `https` and `file` URLs.

    Args:
        cert: a file of certificate authorities, in place of the system's.
        proxy: URL of a proxy, in place of the environment's.
        timeout_s: the longest silence on a connection.
    """

    def __init__(
        self, *, cert: str | None = None, proxy: str | None = None, timeout_s: float = 15.0
    ) -> None:
        self.timeout_s = timeout_s
        try:
            context = ssl.create_default_context(cafile=cert)
        except OSError as error:
            raise ModelError(
                f"the certificate file {cert} cannot be read: {error}",
                hint="see `cert` in `python -m pip config list`",
            ) from error
        proxies = {"http": proxy, "https": proxy} if proxy else None
        self._opener = urllib.request.build_opener(
            urllib.request.HTTPSHandler(context=context), urllib.request.ProxyHandler(proxies)
        )

    def open(self, url: str, headers: Mapping[str, str] | None = None) -> Any:
        """The response to a GET; close it.

        Raises:
            ModelError: a URL that is not fetched.
            OSError, HTTPException: the network failed (`urllib.error.HTTPError` has the status).
        """
        scheme = urllib.parse.urlsplit(url).scheme
        if scheme not in _SCHEMES:
            raise ModelError(f"cannot fetch a {scheme!r} URL, only http, https and file")
        request = urllib.request.Request(url, headers=dict(headers or {}))  # noqa: S310  (checked above)
        request.add_header("User-Agent", "harken-models")
        return self._opener.open(request, timeout=self.timeout_s)

    def page(self, url: str, accept: str) -> tuple[str, str, str]:
        """A whole page: its text, its media type, and its URL after redirects.

        Raises:
            OSError, HTTPException: as `open`.
        """
        with self.open(url, {"Accept": accept}) as response:
            body: bytes = response.read(_PAGE_LIMIT)
            kind: str = response.headers.get_content_type()
            return body.decode("utf-8", errors="replace"), kind, response.geturl()
