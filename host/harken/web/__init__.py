"""HTTP: bootstrap, health, metrics."""
