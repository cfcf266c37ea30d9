"""Figures, each measured beside its rival and its floor in the same run."""
