"""What differs by operating system about a worker process."""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

_LIBC = "ucrtbase" if sys.platform == "win32" else None

FLAG = "--rung-llama-worker"
"""Makes a process a worker; its host's process id follows."""

CAUSE = "rung: "
"""Begins the line on standard error in which a worker says why it ends. Holds no part of any prompt."""

_PR_SET_PDEATHSIG = 1

_BROKE = (0xC0000005, 0xC000001D) if sys.platform == "win32" else (-signal.SIGSEGV, -signal.SIGILL)
"""A wrong address, and an instruction that the processor doesn't know."""


class Group(TypedDict, total=False):
    """Arguments of `subprocess.Popen` that put a child into a process group of its own."""

    process_group: int
    creationflags: int


def own_group() -> Group:
    """A Ctrl-C in the terminal goes to the whole foreground group; the host alone decides what it means."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return {"process_group": 0}


def death(code: int) -> str:
    """How a process ended, in a clause that goes after its name.

    Args:
        code: as `subprocess` reports it, negative for a signal.
    """
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def broke(code: int) -> bool:
    """Whether a process ended so because its own code is unfit for this machine, or wrong.

    Args:
        code: as `subprocess` reports it.
    """
    return code in _BROKE


def ignore_interrupts() -> None:
    """Leave SIGINT to the host."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def no_core_dump() -> None:
    """A core dump would put prompts on disk."""
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def let_go(path: str) -> None:
    """Take a mapped file out of what this process holds. What is read again comes back from the system's cache.

    llama.cpp maps a model whole and reads all of it once. What it has laid out anew, and the rows of words that no
    prompt holds, is never read again. Only Linux tells where a file is mapped.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    real = os.fsencode(Path(path).resolve())
    for line in Path("/proc/self/maps").read_bytes().splitlines():
        edges, *_, name = line.split(maxsplit=5)
        if name == real:
            start, end = (int(edge, 16) for edge in edges.split(b"-"))
            # Advice: where the kernel doesn't take it, nothing is lost.
            libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), mmap.MADV_DONTNEED)


def die_with(parent: int, *, every: float = 1.0) -> None:
    """End this process soon after `parent` is gone, whatever its other threads do.

    The kernel's own signal, on Linux, needs no thread of ours to get a turn; it fires when the *thread* that started
    this process ends, so the host starts workers from a thread that lives as long as they do. The look at the parent's
    id serves the other systems.

    Args:
        parent: process id of the host.
        every: seconds between two looks.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    alive = _watch(parent)

    def look() -> None:
        while alive():
            time.sleep(every)
        os._exit(0)

    # The parent may have died before the kernel was asked.
    if not alive():
        os._exit(0)
    threading.Thread(target=look, name="rung-parent", daemon=True).start()


if sys.platform == "win32":

    def _watch(parent: int) -> Callable[[], bool]:
        import psutil

        # Windows gives an orphan no new parent and may give its id to another process; psutil tells them apart.
        return psutil.Process(parent).is_running

else:

    def _watch(parent: int) -> Callable[[], bool]:
        return lambda: os.getppid() == parent


def abort_callback(kind: Any) -> Any:
    """A callback for llama.cpp that never takes the GIL: libc's `strlen`, whose data is a buffer of two bytes.

    The length of an empty string is 0, go on; one byte written makes it 1, abort.

    Args:
        kind: the ctypes function type that llama.cpp wants.
    """
    libc = ctypes.CDLL(_LIBC)
    return ctypes.cast(libc.strlen, kind)


def free_cores() -> int:
    """Physical cores that this process may run on.

    To be asked before llama.cpp is loaded: under `OMP_PROC_BIND` that ties the loading thread to a single core.
    """
    import psutil

    allowed = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return max(1, min(psutil.cpu_count(logical=False) or allowed, allowed))
