"""The shared library built from `firmware/native/core`, and buffers for its calls."""

from __future__ import annotations

import ctypes
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harken.errors import StartError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

__all__ = ["HOP", "HOP_BYTES", "LIBRARY", "readable", "writable"]

HOP = 160
"""Samples of one step, 10 ms at 16 kHz."""
HOP_BYTES = 2 * HOP

_POINTER, _SIZE, _NUMBER = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint32
_SIGNATURES: Final[dict[str, tuple[Any, list[Any]]]] = {
    "features_size": (_NUMBER, []),
    "features_reset": (None, [_POINTER]),
    "features_step": (ctypes.c_int, [_POINTER, _POINTER, _POINTER]),
    "features_run": (_NUMBER, [_POINTER, _POINTER, _NUMBER, _POINTER]),
    "model_check": (ctypes.c_int, [_POINTER, _SIZE]),
    "model_size": (_NUMBER, [_POINTER]),
    "model_reset": (None, [_POINTER, _POINTER]),
    "model_stride": (_NUMBER, [_POINTER]),
    "model_outputs": (_NUMBER, [_POINTER]),
    "model_output": (_POINTER, [_POINTER]),
    "model_step": (ctypes.c_int, [_POINTER, _POINTER]),
    "model_run": (_NUMBER, [_POINTER, _POINTER, _NUMBER, _POINTER]),
    "vad_size": (_NUMBER, []),
    "vad_init": (None, [_POINTER]),
    "vad_reset": (None, [_POINTER]),
    "vad_tune": (ctypes.c_int, [_POINTER, ctypes.c_int, ctypes.c_int]),
    "vad_step": (ctypes.c_int, [_POINTER, _POINTER, ctypes.c_int]),
    "vad_level_db": (ctypes.c_int, [_POINTER]),
    "vad_floor_db": (ctypes.c_int, [_POINTER]),
    "gain_size": (_NUMBER, []),
    "gain_reset": (None, [_POINTER]),
    "gain_step": (ctypes.c_int, [_POINTER, _POINTER, ctypes.c_int, ctypes.c_int, _POINTER]),
    "gain_db": (ctypes.c_int, [_POINTER]),
    "cleaner_size": (_NUMBER, []),
    "cleaner_init": (None, [_POINTER]),
    "cleaner_reset": (None, [_POINTER]),
    "cleaner_switch": (None, [_POINTER, _NUMBER]),
    "cleaner_gains": (None, [_POINTER, _POINTER]),
    "cleaner_step": (ctypes.c_int, [_POINTER] * 5),
    "cleaner_run": (_NUMBER, [_POINTER, _POINTER, _POINTER, _NUMBER, _POINTER, _POINTER]),
    "cleaner_erle_db": (ctypes.c_int, [_POINTER]),
    "cleaner_delay_ms": (ctypes.c_int, [_POINTER]),
    "cleaner_noise_db": (ctypes.c_int, [_POINTER]),
    "cleaner_gain_db": (ctypes.c_int, [_POINTER]),
    "level": (ctypes.c_int, [_POINTER, _POINTER]),
    "amplify": (ctypes.c_int, [_POINTER, ctypes.c_int32, ctypes.c_int32, _POINTER]),
    "mask": (None, [_POINTER, _SIZE, _POINTER]),
}
"""Result and arguments of each function, `harken_` left out of its name."""


def _load() -> ctypes.CDLL:
    name = f"libharken_core-{platform.machine()}.so"
    path = Path(__file__).with_name("native") / name
    if not sys.platform.startswith("linux") or not path.exists():
        raise StartError(
            f"there is no audio core for this machine: {name} is missing",
            hint="`make native` builds it on x86-64 Linux",
        )
    library = ctypes.CDLL(str(path))
    for call, (result, arguments) in _SIGNATURES.items():
        # By attribute: each `library[name]` would be a new function without these types.
        function = getattr(library, f"harken_{call}")
        function.restype, function.argtypes = result, arguments
    return library


LIBRARY = _load()
"""Each function with the types of its arguments."""


def readable(buffer: ReadableBuffer, size: int, what: str) -> Any:
    """`size` bytes at the start of `buffer`, for a call that only reads them.

    Raises:
        ValueError: there are fewer; the text begins with `what`.
    """
    if not isinstance(buffer, bytes):
        view = memoryview(buffer)
        if not view.readonly:
            return writable(view, size, what)
        buffer = bytes(view)
    if len(buffer) < size:
        raise ValueError(f"{what} needs {size} bytes, not {len(buffer)}")
    return buffer


def writable(buffer: WriteableBuffer, size: int, what: str) -> Any:
    """`size` bytes at the start of `buffer`, for a call that writes them.

    Raises:
        ValueError: there are fewer, or they are read-only; the text begins with `what`.
    """
    try:
        return (ctypes.c_char * size).from_buffer(buffer)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{what} needs {size} writable bytes in one piece ({error})") from error
