"""Inputs that nobody would send on purpose, and a child process that has to take them: see `scripts/fuzz.py`."""
