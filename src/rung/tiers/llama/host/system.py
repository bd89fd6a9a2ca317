"""What depends on the operating system about a child process: how it is started, and what its exit code means."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TypedDict

_BROKE = (0xC0000005, 0xC000001D) if sys.platform == "win32" else (-signal.SIGSEGV, -signal.SIGILL)
"""Exit codes for a wrong address, and for an instruction that the processor doesn't know."""


class Group(TypedDict, total=False):
    """Arguments of `subprocess.Popen` that put a child into a process group of its own."""

    process_group: int
    creationflags: int


def own_group() -> Group:
    """Ctrl-C in the terminal goes to the whole foreground group. Only the host is to decide what it means."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return {"process_group": 0}


def death(code: int) -> str:
    """How a process ended, in a clause that follows its name.

    Args:
        code: exit code as `subprocess` reports it, negative for a signal.
    """
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def broke(code: int) -> bool:
    """Whether a process ended because its code doesn't suit this machine, or is wrong.

    Args:
        code: exit code as `subprocess` reports it.
    """
    return code in _BROKE
