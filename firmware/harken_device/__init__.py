"""Harken's device firmware, for MicroPython."""
