"""What depends on the operating system about a worker's own process."""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_LIBC = "ucrtbase" if sys.platform == "win32" else None

_PR_SET_PDEATHSIG = 1


def ignore_interrupts() -> None:
    """Leave SIGINT to the host."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform != "win32":
        # `end_within` needs it, and it is inherited
        signal.signal(signal.SIGALRM, signal.SIG_DFL)


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


def die_with(parent: int, *, every: float = 1.0) -> Callable[[], None]:
    """End this process soon after `parent` is gone, whatever its other threads do. Returns what takes that back.

    On Linux, the kernel's own signal doesn't depend on any thread of ours getting a turn. It is sent when the *thread*
    that started this process ends, so the host starts workers from a thread that lives as long as they do. Looking at
    the parent's id serves the other systems.

    Args:
        parent: process id of the host.
        every: seconds between two looks.
    """
    alive = _watch(parent)
    asked, over, free = threading.Event(), threading.Event(), threading.Event()

    def look() -> None:
        # The kernel keeps the wish with the thread that makes it, which alone can take it back.
        _end_with_parent(signal.SIGKILL)
        asked.set()
        while alive() and not over.wait(every):
            pass
        if not over.is_set():
            os._exit(0)
        _end_with_parent(0)
        free.set()

    def survive() -> None:
        over.set()
        free.wait()

    threading.Thread(target=look, name="rung-parent", daemon=True).start()
    asked.wait()
    # The parent may have died before the kernel was asked.
    if not alive():
        os._exit(0)
    return survive


def _end_with_parent(how: int) -> None:
    """Ask the kernel for a signal at the parent's end; 0 for none. Only Linux can."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, how, 0, 0, 0)


def hush() -> None:
    """Send what native libraries print to nowhere. Nobody reads it any more."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    speak_to(nothing)


def speak_to(descriptor: int) -> None:
    """Send what native libraries print to this descriptor, which is closed."""
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


if sys.platform == "linux":

    @contextmanager
    def apart() -> Iterator[None]:
        """Keep this thread off the cores that the main thread is bound to, if there are others.

        The kernel lets two threads share a core for tens of milliseconds beside an idle one, and a bound thread can't
        get out of the way. Threads that are started meanwhile keep to the same cores.
        """
        usual: set[int] = set()
        with suppress(OSError):
            mine = os.sched_getaffinity(0)
            others = mine - os.sched_getaffinity(os.getpid())
            if others:
                os.sched_setaffinity(0, others)
                usual = mine
        try:
            yield
        finally:
            if usual:
                with suppress(OSError):  # somebody may have taken these cores away meanwhile
                    os.sched_setaffinity(0, usual)

else:

    @contextmanager
    def apart() -> Iterator[None]:
        """Only Linux binds threads to cores here."""
        yield


if sys.platform == "win32":

    def end_within(seconds: int) -> None:
        """Windows has no such clock, and no worker lingers there."""

else:

    def end_within(seconds: int) -> None:
        """Let the kernel end this process so many seconds from now, unless this is called again. It takes no turn of
        any thread.
        """
        signal.alarm(seconds)


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


def ignoring(kind: Any) -> Any:
    """A callback for llama.cpp's log that never takes the GIL, and does nothing: libc's `abs`, of the line's level.

    Args:
        kind: the ctypes function type that llama.cpp wants.
    """
    libc = ctypes.CDLL(_LIBC)
    return ctypes.cast(libc.abs, kind)
