"""Simulated rooms, loudspeakers and mixtures, and the recordings that are heard in them."""
