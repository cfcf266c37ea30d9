"""`python -m harken.cli`, where the console script is not installed."""

from harken.cli import main

main()
