"""How well the device hears: scenes with a known truth, rivals beside ours, and scores."""
