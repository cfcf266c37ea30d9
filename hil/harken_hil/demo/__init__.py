"""`harken demo`: a simulated device hears its name, asks, is answered and interrupted."""
