"""The device's state machine, link, settings and queues, in the real MicroPython's real heap."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

CASES = (
    "app_cases",
    "config_cases",
    "interruption_cases",
    "link_cases",
    "turn_cases",
    "wifi_file_cases",
)


def test_device(
    micropython_case: tuple[str, str], run_case: Callable[[tuple[str, str]], None]
) -> None:
    run_case(micropython_case)
