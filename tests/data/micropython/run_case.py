"""Runs one function of one module: `run_case.py MODULE FUNCTION FOLDER`. Runs in MicroPython.

FOLDER is the current directory of the case, empty: what flash is to a device.
"""

import asyncio
import os
import sys

case = getattr(__import__(sys.argv[1]), sys.argv[2])
os.chdir(sys.argv[3])
running = case()
if running is not None:
    asyncio.run(running)
