"""The audio core, from wherever this board has it: everything imports it from here."""

from harken_core import Cleaner, Features, Model, Vad, mask

__all__ = ["Cleaner", "Features", "Model", "Vad", "mask"]
