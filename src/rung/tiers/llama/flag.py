"""What makes a process a worker. It stands alone, since a host needs no more to start one."""

from __future__ import annotations

FLAG = "--rung-llama-worker"
"""First argument of a worker's command line. The process id of its host follows."""
