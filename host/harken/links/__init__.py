"""Live links to devices, one file a dialect."""
