"""Writes MicroPython's ROMFS: a read-only file system that is used where it lies, without copying.

A record is a kind, a length and that many bytes, both numbers in base 128 with the most
significant digits first. The file system is one record, of directories and files; a file's record
holds its name and a record with its content. Every file's content begins at a multiple of 16 bytes,
so that numbers in it lie where processors want them. (MicroPython, `extmod/vfs_rom.c`.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Union

from harken.errors import RigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    _Tree = dict[str, Union[bytes, "_Tree"]]  # noqa: UP007  # `|` takes no forward reference

_FILE_SYSTEM = 0x14A6B1
_PADDING = 1
_CONTENT = 2
_DIRECTORY = 4
_FILE = 5
_ALIGNMENT = 16
_LENGTH_DIGITS = 4  # always: so what follows a length does not move when it grows


def pack_romfs(files: Mapping[str, bytes]) -> bytes:
    """A file system with `files`, by their paths ("folder/name").

    Raises:
        RigError: a path names both a file and a folder.
    """
    tree: _Tree = {}
    for path, content in sorted(files.items()):
        *folders, name = path.split("/")
        folder = tree
        for part in folders:
            inner = folder.setdefault(part, {})
            if isinstance(inner, bytes):
                raise RigError(f"{part!r} of {path!r} is a file, it cannot be a folder as well")
            folder = inner
        if name in folder:
            raise RigError(f"{path!r} is a folder, it cannot be a file as well")
        folder[name] = content
    head = len(_number(_FILE_SYSTEM)) + _LENGTH_DIGITS
    return _record(_FILE_SYSTEM, _folder(tree, head))


def _folder(tree: _Tree, start: int) -> bytes:
    """The records of a folder that begins `start` bytes into the file system."""
    out = bytearray()
    for name, node in tree.items():
        encoded = name.encode()
        label = _number(len(encoded)) + encoded
        inside = start + len(out) + 1 + _LENGTH_DIGITS + len(label)
        if isinstance(node, bytes):
            out += _record(_FILE, label + _content(node, inside))
        else:
            out += _record(_DIRECTORY, label + _folder(node, inside))
    return bytes(out)


def _content(content: bytes, start: int) -> bytes:
    head = 1 + _LENGTH_DIGITS
    missing = -(start + 2 * head) % _ALIGNMENT
    return _record(_PADDING, bytes(missing)) + _record(_CONTENT, content)


def _record(kind: int, payload: bytes) -> bytes:
    return _number(kind) + _number(len(payload), _LENGTH_DIGITS) + payload


def _number(value: int, digits: int = 1) -> bytes:
    out = [value & 0x7F]
    while (value := value >> 7) or len(out) < digits:
        out.append(value & 0x7F | 0x80)
    return bytes(reversed(out))
