"""Harken's gateway: bridges small voice devices to a conversational agent."""

__version__ = "0.1.0"
