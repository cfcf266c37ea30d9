"""Models out of ROM or flash, each with its manifest, checked before anybody relies on them.

A model in ROM stays where it is; one in flash is read into the heap. What cannot be used is refused
with the reason, and the device goes on without it.
"""

import gc
import json
import os
from errno import ENOENT

from micropython import const

from harken_device.core import Model
from harken_device.errors import ModelError

TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from typing import Any

FOLDERS = ("/rom/models", "models")

_LARGEST_FILE = const(131_072)
_LARGEST_MANIFEST = const(4096)
_HEADER_BYTES = const(48)
_STRIDE_AT = const(16)  # `firmware/native/core/int8_model.h`
_FEATURES_AT = const(18)
_STATE_AT = const(24)
_MOST_OUTPUTS = const(64)
_FEATURES = const(40)
# A model must leave room for a connection with TLS, or the device would hear and not be heard.
_RESERVE = const(12_288)


class Weights:
    """A packed model, from which any number of instances are made.

    Args:
        name: the files' name.
        content: the packed model.
        manifest: what lies beside it; empty where nothing does.

    Raises:
        ModelError: it is cut off, or this is no packed model.
    """

    def __init__(self, name: str, content: "bytearray | memoryview", manifest: "dict[str, Any]"):
        if len(content) < _HEADER_BYTES:
            raise ModelError("model %s: its file is cut off" % name)
        self.name = name
        self.manifest = manifest
        self._content = content
        self.stride = content[_STRIDE_AT] | content[_STRIDE_AT + 1] << 8
        self.state = 0  # bytes of heap that an instance takes
        for i in range(4):
            self.state |= content[_STATE_AT + i] << 8 * i

    def instance(self, outputs: int = 1) -> "Model":
        """The engine with this model, as at the beginning of a stream.

        Args:
            outputs: how many bytes it must give.

        Raises:
            ModelError: the engine cannot run it, its state does not fit, or it gives another
                number of values.
        """
        gc.collect()
        if self.state > gc.mem_free() - _RESERVE:
            raise ModelError(
                "model %s: its state of %d bytes leaves no room for a connection"
                % (self.name, self.state)
            )
        try:
            model = Model(self._content)
        except (ValueError, MemoryError) as error:
            raise ModelError("model %s: %s" % (self.name, error))
        given = model.outputs(bytearray(_MOST_OUTPUTS))
        if given != outputs:
            raise ModelError("model %s gives %d values, not %d" % (self.name, given, outputs))
        if self._content[_FEATURES_AT] != _FEATURES or self._content[_FEATURES_AT + 1]:
            raise ModelError("model %s is not for %d speech features" % (self.name, _FEATURES))
        return model


def load(name: str, folders: "tuple[str, ...]" = FOLDERS, manifest: bool = True) -> Weights:
    """The model whose file is `NAME.hkm`, and its manifest `NAME.json`.

    Args:
        name: the files' name.
        folders: looked through in turn.
        manifest: it has one.

    Raises:
        ModelError: a file is missing, too large, cut off or not readable.
    """
    try:
        base, size = _find(name, folders)
        content = _whole(base + ".hkm", size)
        return Weights(name, content, _manifest(base + ".json") if manifest else {})
    except OSError as error:
        raise ModelError(
            "model %s: %s" % (name, "is not there" if error.errno == ENOENT else repr(error))
        )
    except MemoryError:
        raise ModelError("model %s: its file of %d bytes does not fit the memory" % (name, size))


def _find(name: str, folders: "tuple[str, ...]") -> "tuple[str, int]":
    for folder in folders:
        base = folder + "/" + name
        try:
            return base, os.stat(base + ".hkm")[6]
        except OSError:
            continue
    raise OSError(ENOENT)


def _whole(path: str, size: int) -> "bytearray | memoryview":
    if size > _LARGEST_FILE:
        raise ModelError("%s has %d bytes, more than %d" % (path, size, _LARGEST_FILE))
    with open(path, "rb") as file:
        try:
            return memoryview(file)  # files in ROM are buffers
        except TypeError:
            pass
        # In one piece of exactly its size: reading on and on would tear the heap to pieces.
        gc.collect()
        content = bytearray(size)
        if file.readinto(content) != size:
            raise ModelError(path + " is cut off")
        return content


def _manifest(path: str) -> "dict[str, Any]":
    found = None
    with open(path) as file:
        try:
            text = file.read(_LARGEST_MANIFEST + 1)
            if len(text) <= _LARGEST_MANIFEST:
                found = json.loads(text)
        except (ValueError, RuntimeError, MemoryError):  # not UTF-8, not JSON, nested too deeply
            pass
    if not isinstance(found, dict):
        raise ModelError("%s is no JSON object of at most %d bytes" % (path, _LARGEST_MANIFEST))
    return found
