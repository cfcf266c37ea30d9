"""Harken's models: the model store, packing, and the CPython face of the device's audio core."""
