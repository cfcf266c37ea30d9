"""Who may ask what over HTTP: the right host, the right origin, the right token."""

from __future__ import annotations

import hmac
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from harken.config.check import is_loopback

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["bearer", "host_of", "is_foreign", "token_among"]

_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]{1,253})(:[0-9]{1,5})?")


def host_of(header: str) -> str:
    """The name or address in a Host header, without its port; "" where it is no such thing."""
    match = _HOST.fullmatch(header)
    return match[1] if match else ""


def is_foreign(headers: Mapping[str, str], *, loopback: bool) -> bool:
    """Whether a request was made by a page of another site, or for another name than ours.

    A gateway that listens on loopback answers only to loopback names: else a page anywhere could
    reach it by a name that it makes resolve to 127.0.0.1 (DNS rebinding).

    Args:
        headers: of the request.
        loopback: whether the gateway listens on loopback alone.
    """
    host = host_of(headers.get("Host", ""))
    if not host or (loopback and not is_loopback(host)):
        return True
    origin = headers.get("Origin")
    if origin is None:
        return False
    try:
        return (urlsplit(origin).hostname or "") != host.strip("[]").lower()
    except ValueError:
        return True


def bearer(authorization: str) -> str:
    """The token in an Authorization header's value, "" where there is none."""
    kind, _, token = authorization.partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


def token_among(token: str, tokens: Iterable[str]) -> bool:
    """Whether a token is one of those, in a time that does not tell how near it was."""
    given = token.encode()
    matches = [hmac.compare_digest(given, known.encode()) for known in tokens]
    return any(matches)
