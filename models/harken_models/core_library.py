"""The shared library built from `firmware/native/core`, and buffers for its calls."""

from __future__ import annotations

import ctypes
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harken.errors import StartError

if TYPE_CHECKING:
    from typing import Any

    from _typeshed import ReadableBuffer, WriteableBuffer

__all__ = ["HOP", "HOP_BYTES", "LIBRARY", "readable", "writable"]

HOP = 160
"""Samples of one step, 10 ms at 16 kHz."""
HOP_BYTES = 2 * HOP


def _load() -> ctypes.CDLL:
    name = f"libharken_core-{platform.machine()}.so"
    path = Path(__file__).with_name("native") / name
    if not sys.platform.startswith("linux") or not path.exists():
        raise StartError(
            f"there is no audio core for this machine: {name} is missing",
            hint="`make native` builds it on x86-64 Linux",
        )
    library = ctypes.CDLL(str(path))
    pointer, size, number = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint32
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "features_size": (number, []),
        "features_reset": (None, [pointer]),
        "features_step": (ctypes.c_int, [pointer, pointer, pointer]),
        "features_run": (number, [pointer, pointer, number, pointer]),
        "model_check": (ctypes.c_int, [pointer, size]),
        "model_size": (number, [pointer]),
        "model_reset": (None, [pointer, pointer]),
        "model_stride": (number, [pointer]),
        "model_outputs": (number, [pointer]),
        "model_output": (pointer, [pointer]),
        "model_step": (ctypes.c_int, [pointer, pointer]),
        "model_run": (number, [pointer, pointer, number, pointer]),
        "vad_size": (number, []),
        "vad_init": (None, [pointer]),
        "vad_reset": (None, [pointer]),
        "vad_tune": (ctypes.c_int, [pointer, ctypes.c_int, ctypes.c_int]),
        "vad_step": (ctypes.c_int, [pointer, pointer, ctypes.c_int]),
        "vad_level_db": (ctypes.c_int, [pointer]),
        "vad_floor_db": (ctypes.c_int, [pointer]),
        "gain_size": (number, []),
        "gain_reset": (None, [pointer]),
        "gain_step": (ctypes.c_int, [pointer, pointer, ctypes.c_int, ctypes.c_int, pointer]),
        "gain_db": (ctypes.c_int, [pointer]),
        "cleaner_size": (number, []),
        "cleaner_init": (None, [pointer]),
        "cleaner_reset": (None, [pointer]),
        "cleaner_switch": (None, [pointer, number]),
        "cleaner_gains": (None, [pointer, pointer]),
        "cleaner_step": (ctypes.c_int, [pointer] * 5),
        "cleaner_run": (number, [pointer, pointer, pointer, number, pointer, pointer]),
        "cleaner_erle_db": (ctypes.c_int, [pointer]),
        "cleaner_delay_ms": (ctypes.c_int, [pointer]),
        "cleaner_noise_db": (ctypes.c_int, [pointer]),
        "cleaner_gain_db": (ctypes.c_int, [pointer]),
        "level": (ctypes.c_int, [pointer, pointer]),
        "amplify": (ctypes.c_int, [pointer, ctypes.c_int32, ctypes.c_int32, pointer]),
        "mask": (None, [pointer, size, pointer]),
    }
    for call, (result, arguments) in signatures.items():
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
