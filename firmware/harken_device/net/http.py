"""As much of an HTTP/1.1 client as a device needs: one bounded POST, and the head of an upgrade."""

from micropython import const

from harken_device.errors import NetError
from harken_device.net.stream import Address, Stream, Trust

_LONGEST_LINE = const(1024)
_MOST_HEADERS = const(40)


async def read_line(stream: Stream, deadline: int) -> str:
    """One line without its end, of at most 1,024 bytes.

    Read byte by byte, so that nothing behind the head is taken from whoever reads on.

    Raises:
        NetError: too long, not ASCII, cut off, or the deadline passed.
    """
    one = bytearray(1)
    line = bytearray()
    while await stream.read_some(one, 1, deadline):
        if one[0] == 10:
            if line and line[-1] == 13:
                line = line[:-1]
            if any(byte > 126 for byte in line):
                raise NetError("an HTTP head that is not ASCII")
            return line.decode()
        if len(line) >= _LONGEST_LINE:
            raise NetError("an HTTP head with an endless line")
        line.append(one[0])
    raise NetError("the other side closed within an HTTP head")


async def read_head(stream: Stream, deadline: int) -> "tuple[int, dict[str, str]]":
    """The status, and the headers by lower-case name.

    Raises:
        NetError: not HTTP, too long, cut off, or the deadline passed.
    """
    first = (await read_line(stream, deadline)).split(" ", 2)
    if len(first) < 2 or not first[0].startswith("HTTP/1.") or not first[1].isdigit():
        raise NetError("the answer is not HTTP")
    headers: dict[str, str] = {}
    for _ in range(_MOST_HEADERS):
        line = await read_line(stream, deadline)
        if not line:
            return int(first[1]), headers
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    raise NetError("an HTTP head with too many headers")


async def read_exactly(stream: Stream, length: int, deadline: int) -> bytes:
    """`length` bytes.

    Raises:
        NetError: cut off, or the deadline passed.
    """
    out = bytearray()
    chunk = bytearray(512)
    while len(out) < length:
        count = await stream.read_some(chunk, min(len(chunk), length - len(out)), deadline)
        if not count:
            raise NetError("the other side closed within its answer")
        out.extend(memoryview(chunk)[:count])
    return bytes(out)


async def _read_to_end(stream: Stream, longest: int, deadline: int) -> bytes:
    out = bytearray()
    chunk = bytearray(512)
    while True:
        count = await stream.read_some(chunk, len(chunk), deadline)
        if not count:
            return bytes(out)
        if len(out) + count > longest:
            raise NetError("the answer is too long")
        out.extend(memoryview(chunk)[:count])


async def _read_chunked(stream: Stream, longest: int, deadline: int) -> bytes:
    out = b""
    while True:
        size = (await read_line(stream, deadline)).partition(";")[0].strip()
        try:
            length = int(size, 16)
        except ValueError:
            raise NetError("an HTTP chunk without a length")
        if length < 0 or len(out) + length > longest:
            raise NetError("the answer is too long")
        if length == 0:
            return out
        out += await read_exactly(stream, length, deadline)
        await read_line(stream, deadline)


async def _read_body(
    stream: Stream, headers: "dict[str, str]", longest: int, deadline: int
) -> bytes:
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return await _read_chunked(stream, longest, deadline)
    if "content-length" not in headers:
        return await _read_to_end(stream, longest, deadline)
    text = headers["content-length"]
    if not text.isdigit() or len(text) > 9 or int(text) > longest:
        raise NetError("the answer is too long")
    return await read_exactly(stream, int(text), deadline)


def head(first: str, headers: "list[tuple[str, str]]") -> bytes:
    """A request's head: its first line and its headers, without what could forge another.

    Raises:
        NetError: a header holds a control character.
    """
    lines = [first]
    for name, value in headers:
        if any(char < " " or char > "~" for char in value):
            raise NetError("the header " + name + " holds what HTTP does not allow")
        lines.append(name + ": " + value)
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def post(
    url: str,
    headers: "list[tuple[str, str]]",
    body: bytes,
    longest: int,
    trust: Trust,
    deadline: int,
) -> "tuple[int, bytes]":
    """POST and take the answer: its status and its body of at most `longest` bytes.

    Raises:
        NetError: no connection, no HTTP, too long an answer, or the deadline passed.
    """
    address = Address(url)
    stream = Stream()
    try:
        await stream.open(address, trust, deadline)
        own = [
            ("Host", address.authority),
            ("Connection", "close"),
            ("Content-Length", str(len(body))),
        ]
        request = head("POST " + address.path + " HTTP/1.1", own + headers)
        await stream.write_all(request + body, deadline)
        status, answer = await read_head(stream, deadline)
        return status, await _read_body(stream, answer, longest, deadline)
    finally:
        stream.close()
