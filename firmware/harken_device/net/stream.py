"""One TCP or TLS connection that never blocks the loop, and the addresses it goes to.

A name look-up is the exception: MicroPython's `getaddrinfo` blocks for as long as the resolver
takes.
"""

import asyncio
import select
import socket
from binascii import a2b_base64
from time import ticks_add, ticks_diff, ticks_ms

from micropython import const

from harken_device.errors import NetError

TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from typing import Any

_POLL_MS = const(5)
# A first packet that was lost is repeated after 1 s, then 3 s: better begin again than wait on.
_CONNECT_MS = const(4000)
_LARGEST_CERTIFICATE = const(8192)
_IPPROTO_TCP = const(6)
_TCP_NODELAY = const(1)
_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


class Address:
    """The parts of a URL.

    Args:
        url: `http`, `https`, `ws` or `wss`, without user or fragment.

    Raises:
        NetError: the URL is none of these.
    """

    def __init__(self, url: str) -> None:
        scheme, found, rest = url.partition("://")
        authority, slash, path = rest.partition("/")
        if not found or scheme not in _PORTS or "@" in authority or not _plain(url):
            raise NetError("not a URL this device can use: check ota_url or websocket_url")
        host, colon, port = authority.rpartition(":")
        if not colon or authority.endswith("]"):
            host, port = authority, str(_PORTS[scheme])
        if not host or not port.isdigit() or not 0 < int(port) < 65_536:
            raise NetError("a URL without a usable host and port")
        self.tls = scheme in ("https", "wss")
        self.authority = authority
        self.host = host.strip("[]")
        self.port = int(port)
        self.path = slash + path or "/"


def _plain(text: str) -> bool:
    return all("!" <= char <= "~" for char in text)


class Trust:
    """Whom a TLS connection believes.

    Args:
        ca: file of the certificate that must have signed the peer's, DER or PEM; "" for none.
        verify: False accepts any peer.
    """

    def __init__(self, ca: str = "", verify: bool = True) -> None:
        self._ca = ca
        self._verify = verify

    def wrap(self, plain: "Any", host: str) -> "Any":
        """TLS over a connected socket; the handshake happens as it is read and written.

        Raises:
            NetError: the settings leave nobody to trust, or the certificate file is unusable.
        """
        import ssl

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if not self._verify:
            context.verify_mode = ssl.CERT_NONE
        elif not self._ca:
            raise NetError("no certificate to trust: set tls_ca to a file, or tls_verify to false")
        else:
            try:
                context.load_verify_locations(cadata=_der(self._ca))
            except (OSError, ValueError, IndexError):
                raise NetError("tls_ca names no usable certificate file")
            context.verify_mode = ssl.CERT_REQUIRED
        return context.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False)


def _der(path: str) -> bytes:
    """A certificate file's first certificate; not every port's TLS reads PEM."""
    with open(path, "rb") as file:
        data: bytes = file.read(_LARGEST_CERTIFICATE)
    if not data.startswith(b"-----BEGIN"):
        return data
    der: bytes = a2b_base64(data.split(b"-----")[2])
    return der


def deadline_in(milliseconds: int) -> int:
    """A moment for `left`."""
    return ticks_add(ticks_ms(), milliseconds)


def left(deadline: int) -> int:
    """Milliseconds until `deadline`; 0 or less when it has passed."""
    return ticks_diff(deadline, ticks_ms())


class Stream:
    """A connection in bytes.

    Its `readinto` and `write` allocate nothing and return at once.
    """

    def __init__(self) -> None:
        self._socket: Any = None

    async def open(self, address: Address, trust: Trust, deadline: int) -> None:
        """Connect.

        Raises:
            NetError: nobody there, refused, or the deadline passed.
        """
        try:
            where = socket.getaddrinfo(address.host, address.port, 0, socket.SOCK_STREAM)[0][-1]
        except OSError:
            raise NetError("no address for " + address.host)
        plain = self._socket = socket.socket()
        plain.setblocking(False)
        try:
            plain.connect(where)
        except OSError as error:
            if error.errno != 115 and error.errno != 119:  # EINPROGRESS, Linux and lwIP
                raise NetError("cannot connect to %s: %s" % (address.authority, error))
        await self._connected(address, min(left(deadline), _CONNECT_MS))
        try:  # an Opus frame waits for no other
            plain.setsockopt(_IPPROTO_TCP, _TCP_NODELAY, 1)
        except (OSError, AttributeError):
            pass
        if address.tls:
            try:
                self._socket = trust.wrap(plain, address.host)
            except (OSError, ValueError) as error:
                raise NetError("no TLS with %s: %s" % (address.authority, error))

    async def _connected(self, address: Address, within_ms: int) -> None:
        deadline = deadline_in(within_ms)
        poller = select.poll()
        poller.register(self._socket, select.POLLOUT)
        while True:
            for _, events, *_ in poller.ipoll(0):
                if events & (select.POLLERR | select.POLLHUP):
                    raise NetError("nobody answers at " + address.authority)
                if events & select.POLLOUT:
                    return
            if left(deadline) <= 0:
                raise NetError("no answer in time from " + address.authority)
            await asyncio.sleep_ms(_POLL_MS)

    def readinto(self, buffer: bytearray, longest: int) -> int:
        """Bytes read into the start of `buffer`: 0 none yet, -1 the peer has closed.

        Raises:
            NetError: the connection broke.
        """
        try:
            count = self._socket.readinto(buffer, longest)
        except (OSError, ValueError) as error:  # ValueError: a certificate was refused
            raise NetError("connection broke: " + " ".join(str(error).split()))
        if count is None:
            return 0
        return count or -1

    def write(self, buffer: "bytes | bytearray", start: int, length: int) -> int:
        """Bytes of `buffer[start : start + length]` taken; 0 while the network is full.

        A call that took less than all must be followed by one with the rest.

        Raises:
            NetError: the connection broke.
        """
        try:
            count = self._socket.write(buffer, start, length)
        except (OSError, ValueError) as error:  # ValueError: a certificate was refused
            raise NetError("connection broke: " + " ".join(str(error).split()))
        return count or 0

    async def write_all(self, data: bytes, deadline: int) -> None:
        """Write everything.

        Raises:
            NetError: the connection broke or the deadline passed.
        """
        done = 0
        while done < len(data):
            count = self.write(data, done, len(data) - done)
            done += count
            if not count:
                if left(deadline) <= 0:
                    raise NetError("the other side does not read")
                await asyncio.sleep_ms(_POLL_MS)

    async def read_some(self, buffer: bytearray, longest: int, deadline: int) -> int:
        """Wait for up to `longest` bytes; 0 when the peer has closed.

        Raises:
            NetError: the connection broke or the deadline passed.
        """
        while True:
            count = self.readinto(buffer, longest)
            if count:
                return 0 if count < 0 else count
            if left(deadline) <= 0:
                raise NetError("the other side stalls")
            await asyncio.sleep_ms(_POLL_MS)

    def close(self) -> None:
        """Close; safe to call twice."""
        if self._socket is not None:
            try:
                self._socket.close()
            except OSError:
                pass
            self._socket = None
