"""Harken's rig: simulated rooms and devices that run the real firmware."""
