"""The simulated board: its flash image, how it boots, and the process that runs it."""
