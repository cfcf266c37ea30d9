"""Rules that no single key can state."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import TYPE_CHECKING

from harken.errors import ConfigError

if TYPE_CHECKING:
    from harken.config.settings import ServerSettings

__all__ = ["check_server", "is_loopback"]


def is_loopback(host: str) -> bool:
    """Whether a name or address reaches this machine alone."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_server(server: ServerSettings) -> None:
    """Refuse to listen beyond this machine without tokens and TLS.

    Raises:
        ConfigError: it would, or a TLS file is missing.
    """
    if bool(server.tls_certificate) != bool(server.tls_key):
        raise ConfigError(
            "server.tls_certificate and server.tls_key are needed together",
            hint="set both, or neither",
        )
    for name in ("tls_certificate", "tls_key"):
        path = getattr(server, name)
        if path and not Path(path).is_file():
            raise ConfigError(f"server.{name} = {path!r}: there is no such file")
    if is_loopback(server.host):
        return
    missing = [] if server.tokens else ["server.tokens"]
    if not server.tls_certificate:
        missing += ["server.tls_certificate", "server.tls_key"]
    if missing:
        raise ConfigError(
            f"server.host = {server.host!r} is reachable from other machines,"
            f" which needs tokens and TLS: {', '.join(missing)} not set",
            hint="set them, or listen on 127.0.0.1",
        )
