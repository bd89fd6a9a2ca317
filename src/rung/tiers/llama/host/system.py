"""What depends on the operating system about a child process: how it is started, and what its exit code means."""

from __future__ import annotations

import functools
import signal
import subprocess
import sys
from typing import TypedDict

_BROKE = (0xC0000005, 0xC000001D) if sys.platform == "win32" else (-signal.SIGSEGV, -signal.SIGILL, -signal.SIGABRT)
"""Exit codes of a wrong address, of an unknown instruction and of an abort. llama.cpp aborts where a GPU or one of its
assertions fails. What an abort returns on Windows isn't known."""


_KILL_ON_JOB_CLOSE = 0x2000
_EXTENDED_LIMITS = 9
"""`JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE` and `JobObjectExtendedLimitInformation` of winnt.h."""


class Group(TypedDict, total=False):
    """Arguments of `subprocess.Popen` that put a child into a process group of its own."""

    process_group: int
    creationflags: int


def own_group() -> Group:
    """Ctrl-C in the terminal goes to the whole foreground group. Only the host is to decide what it means."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return {"process_group": 0}


if sys.platform == "win32":

    def tie(child: subprocess.Popen[bytes]) -> None:
        """Let the system end a child with this process, however this process ends. Where it refuses, the child watches.

        Args:
            child: a process that was just started.
        """
        import ctypes
        from contextlib import suppress

        with suppress(OSError):
            kernel = ctypes.WinDLL("kernel32", use_last_error=True)
            kernel.AssignProcessToJobObject.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
            if not kernel.AssignProcessToJobObject(_job(), int(child._handle)):
                raise ctypes.WinError(ctypes.get_last_error())

    @functools.cache
    def _job() -> int:
        """A Job Object that kills what is in it when its last handle closes. This process holds the only one."""
        import ctypes

        class Limits(ctypes.Structure):
            """`JOBOBJECT_EXTENDED_LIMIT_INFORMATION`, of which only the flags are set."""

            _fields_ = [
                ("times", ctypes.c_int64 * 2),
                ("flags", ctypes.c_uint32),
                ("working_set", ctypes.c_size_t * 2),
                ("active", ctypes.c_uint32),
                ("affinity", ctypes.c_size_t),
                ("classes", ctypes.c_uint32 * 2),
                ("counters", ctypes.c_uint64 * 6),
                ("memory", ctypes.c_size_t * 4),
            ]

        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        kernel.CreateJobObjectW.restype = ctypes.c_void_p
        kernel.SetInformationJobObject.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_uint32)
        job = kernel.CreateJobObjectW(None, None)
        limits = Limits(flags=_KILL_ON_JOB_CLOSE)
        if not job or not kernel.SetInformationJobObject(
            job, _EXTENDED_LIMITS, ctypes.byref(limits), ctypes.sizeof(limits)
        ):
            raise ctypes.WinError(ctypes.get_last_error())
        return int(job)

else:

    def tie(child: subprocess.Popen[bytes]) -> None:
        """Nothing to do: the worker itself asks to end with its parent, as `worker/system.py` says."""


def death(code: int | None) -> str:
    """How a process ended, in a clause that follows its name.

    Args:
        code: exit code as `subprocess` reports it, negative for a signal; `None` if only its parent knows.
    """
    if code is None:
        return "ended"
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
