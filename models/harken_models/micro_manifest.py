"""microWakeWord's manifests, held against what the device takes (`harken_device.audio.wake`)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from harken.errors import ModelFormatError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["checked_manifest"]

_LARGEST = 4096
_LARGEST_WINDOW = 64
_STEP_MS = 10
_TYPE, _VERSION = "micro", 2
_WHOLE = (
    "a microWakeWord v2 manifest is a JSON object with type, version and wake_word, and in micro "
    "probability_cutoff, sliding_window_size and feature_step_size"
)


def checked_manifest(path: Path) -> bytes:
    """What `path` holds, where the device can use it.

    Raises:
        ModelFormatError: it is no such manifest, or states what the device refuses; says which.
    """
    content = path.read_bytes()
    if len(content) > _LARGEST:
        raise ModelFormatError(
            f"{path} has {len(content)} bytes, the device reads at most {_LARGEST}",
            hint="leave out what describes the model at length",
        )
    try:
        found = _object(json.loads(content.decode("utf-8")))
    except (ValueError, RecursionError) as error:
        raise ModelFormatError(f"{path} is no JSON in UTF-8", hint=_WHOLE) from error
    micro = _object(found.get("micro"))
    if "micro" not in found:
        raise ModelFormatError(f"{path} is not a microWakeWord manifest", hint=_WHOLE)
    _check(path, found, micro)
    return content


def _object(value: Any) -> dict[str, Any]:
    """A JSON object, or an empty one in place of anything else."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _check(path: Path, manifest: dict[str, Any], micro: dict[str, Any]) -> None:
    numbers = ("probability_cutoff", "sliding_window_size", "feature_step_size")
    kind, version = manifest.get("type"), manifest.get("version")
    if kind != _TYPE or version != _VERSION:
        raise ModelFormatError(
            f"{path} has type {kind!r}, version {version!r}; the device runs "
            f"type {_TYPE!r}, version {_VERSION}",
            hint="take the model's v2 files, or train it anew for microWakeWord v2",
        )
    if not isinstance(manifest.get("wake_word"), str):
        raise ModelFormatError(f"{path}: wake_word should be a text", hint=_WHOLE)
    wrong = [name for name in numbers if not _is_number(micro.get(name))]
    if wrong:
        raise ModelFormatError(f"{path}: {', '.join(wrong)} should be a number", hint=_WHOLE)
    cutoff, window, step_ms = (micro[name] for name in numbers)
    if not 0 < cutoff <= 1:
        raise ModelFormatError(
            f"{path}: probability_cutoff is {cutoff}, not over 0 and at most 1",
            hint="it is the mean probability over which the word was said, say 0.9",
        )
    if window not in range(1, _LARGEST_WINDOW + 1):
        raise ModelFormatError(
            f"{path}: sliding_window_size is {window}, not a whole number from 1 to "
            f"{_LARGEST_WINDOW}",
            hint="it is how many probabilities the mean is taken of, say 5",
        )
    if step_ms != _STEP_MS:
        raise ModelFormatError(
            f"{path}: feature_step_size is {step_ms} ms, the device's features come every "
            f"{_STEP_MS}",
            hint=f"train the model on features of {_STEP_MS} ms",
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
