"""The `rung` command. No other package prints.

stdout carries the answer and nothing else, stderr the rest. Exit codes: 0 accepted, 1 unexpected, 2 usage,
3 unresolved, 4 no attempt could start because every permitted tier is unavailable (or a pull is offline),
130 interrupted. `RUNG_DEBUG=1` shows tracebacks.
"""

from __future__ import annotations

from rung.cli.interrupt import Interrupts, run


def main() -> int:
    """Run the command that the process's arguments name. Returns its exit code."""
    return run(_work)


def _work(interrupts: Interrupts) -> int:
    # imported within the work, so that Ctrl-C during these imports is handled like any other
    import sys

    from rung.cli.app import invoke

    return invoke(sys.argv[1:], interrupts)
