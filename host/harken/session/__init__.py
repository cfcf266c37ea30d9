"""The conversation of one device: session, turns, timeline, playout, tools."""
