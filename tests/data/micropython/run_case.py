"""Runs one function of one module: `run_case.py MODULE FUNCTION`. Runs in MicroPython."""

import asyncio
import sys

case = getattr(__import__(sys.argv[1]), sys.argv[2])
running = case()
if running is not None:
    asyncio.run(running)
