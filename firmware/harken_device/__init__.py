"""Harken's device firmware, for MicroPython."""

__version__ = "0.1.0"
