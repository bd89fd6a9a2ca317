"""What depends on the operating system about a worker's own process."""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_LIBC = "ucrtbase" if sys.platform == "win32" else None

_PR_SET_PDEATHSIG = 1


def ignore_interrupts() -> None:
    """Leave SIGINT to the host."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def no_core_dump() -> None:
    """Prevent core dumps, which would put prompts on disk."""
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def let_go(path: str) -> None:
    """Release the memory of a mapped file. What is read again comes back from the system's cache.

    llama.cpp maps a model whole, and reads all of it once. What it has laid out anew, and the rows of words that no
    prompt contains, is never read again. Only Linux tells where a file is mapped.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    real = os.fsencode(Path(path).resolve())
    for line in Path("/proc/self/maps").read_bytes().splitlines():
        edges, *_, name = line.split(maxsplit=5)
        if name == real:
            start, end = (int(edge, 16) for edge in edges.split(b"-"))
            # This is advice: if the kernel doesn't take it, nothing is lost.
            libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), mmap.MADV_DONTNEED)


def die_with(parent: int, *, every: float = 1.0) -> None:
    """End this process soon after `parent` is gone, whatever its other threads do.

    On Linux, the kernel's own signal doesn't depend on any thread of ours getting a turn. It is sent when the *thread*
    that started this process ends, so the host starts workers from a thread that lives as long as they do. Looking at
    the parent's id serves the other systems.

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

        # Windows gives an orphan no new parent, and may give the parent's id to another process. psutil tells them
        # apart.
        return psutil.Process(parent).is_running

else:

    def _watch(parent: int) -> Callable[[], bool]:
        return lambda: os.getppid() == parent


def abort_callback(kind: Any) -> Any:
    """A callback for llama.cpp that never takes the GIL: libc's `strlen`, whose data is a buffer of two bytes.

    The length of an empty string is 0, which means "go on". One byte written makes it 1, which means "abort".

    Args:
        kind: the ctypes function type that llama.cpp wants.
    """
    libc = ctypes.CDLL(_LIBC)
    return ctypes.cast(libc.strlen, kind)
