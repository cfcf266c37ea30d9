"""The device's audio, run by the real MicroPython in its real heap with the real codec."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

CASES = (
    "playout_cases",
    "uplink_cases",
    "speech_cases",
    "wake_cases",
    "model_cases",
    "barge_in_cases",
    "hearing_cases",
    "engine_cases",
    "clock_cases",
)


def test_audio(
    micropython_case: tuple[str, str], run_case: Callable[[tuple[str, str]], None]
) -> None:
    run_case(micropython_case)
