"""Exit codes, as the README and the docs list them."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """How a command ends."""

    OK = 0
    """Done. For `rung ask`: an answer was accepted."""
    UNEXPECTED = 1
    """Something else went wrong, or a check found something."""
    USAGE = 2
    """The command line or a file asks for something impossible."""
    UNRESOLVED = 3
    """No answer was accepted."""
    UNAVAILABLE = 4
    """Nothing could start: every permitted tier is unavailable, or a pull is offline."""
    INTERRUPTED = 130
    """Ctrl-C, as shells count it: 128 and the signal."""
