"""rung's own programs, and how to start them, both in a frozen app and elsewhere.

A frozen app has no Python interpreter to start: `sys.executable` is the app itself. So the app starts itself again with
a flag, and `freeze_support` turns that process into the program that the flag names.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
import time
from pathlib import Path

FLAG = "--rung-program"
"""Turns a process of a frozen app into one of rung's programs. The program's module and its arguments follow."""

WORKER = "rung.tiers.llama.worker"
BUILD = "rung.tiers.llama.host.build"
FETCH = "rung.store._child"

PROGRAMS = (WORKER, BUILD, FETCH)
"""The modules that the flag may name. Whoever can start the app must not be able to run other modules in it."""

_LOOK = 0.5
"""Seconds between two checks of the launcher, where the system can't tell when it ends."""

_GRACE = 1.0
"""Seconds that an app has to end after SIGTERM, before the process exits anyway."""

_called = False


class NotFreezable(Exception):
    """A frozen app has never called `freeze_support`, so starting a program would start the whole app again.

    Args:
        message: what happened.
        hint: what helps.
    """

    def __init__(self) -> None:
        super().__init__("this app is frozen, and it never called rung.freeze_support()")
        self.message = str(self)
        self.hint = "call it first in the app's main script, right after its imports"


def is_frozen() -> bool:
    """Whether `sys.executable` is a frozen app, made by PyInstaller for example."""
    return bool(getattr(sys, "frozen", False))


def freeze_support(*, end_with_launcher: bool) -> None:
    """Run the program that the command line names, and exit. Otherwise return at once.

    Args:
        end_with_launcher: whether a one-file app ends when its launcher, the process that unpacked it, is killed.
    """
    global _called
    _called = True
    if not is_frozen():
        return
    if sys.argv[1:2] != [FLAG]:
        folder = _unpacked()
        if end_with_launcher and folder is not None and os.name == "posix":
            threading.Thread(target=_end_with, args=(os.getppid(), folder), name="rung-launcher", daemon=True).start()
        return
    module = "".join(sys.argv[2:3])
    if module not in PROGRAMS:
        sys.exit(f"{FLAG}: {module!r} is not a program of rung")
    del sys.argv[1:3]
    import runpy

    runpy.run_module(module, run_name="__main__", alter_sys=True)
    sys.exit(0)


def _unpacked() -> Path | None:
    """The folder that a one-file app was unpacked into; `None` for any other app."""
    folder = Path(getattr(sys, "_MEIPASS", sys.executable))
    return None if folder.is_relative_to(Path(sys.executable).parent) else folder


def _end_with(launcher: int, folder: Path) -> None:
    """End this process soon after its launcher, and remove the files that the killed launcher can't remove."""
    # while their files are there
    import shutil

    from rung import programs

    _wait_for(launcher)
    programs.stop_all()
    shutil.rmtree(folder, ignore_errors=True)
    # An app that handles SIGTERM has a moment to clean up.
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE)
    os._exit(1)


def _wait_for(parent: int) -> None:
    """Wait until the parent of this process has ended."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # a kernel or a sandbox without it
            told = os.pidfd_open(parent)
            if os.getppid() == parent:  # else it has ended, and its number may be another process's by now
                select.select([told], [], [])
            os.close(told)
    while os.getppid() == parent:
        time.sleep(_LOOK)


def command(module: str, python: str | None = None) -> list[str]:
    """The beginning of a command line that runs one of rung's programs. Its own arguments follow.

    Args:
        module: one of `PROGRAMS`.
        python: an interpreter that has rung installed; `None` uses this one or, in a frozen app, the app itself.

    Raises:
        NotFreezable: the app is frozen, and has not called `freeze_support`.
    """
    if python is None and is_frozen():
        if not _called:
            raise NotFreezable
        return [sys.executable, FLAG, module]
    # -P: a file in the working directory must not be imported as a module.
    return [python or sys.executable, "-P", "-m", module]


def shared() -> dict[str, str]:
    """Environment variables that lead a frozen app's subprocess to the unpacked files. Otherwise it unpacks again."""
    return {name: value for name, value in os.environ.items() if name.startswith("_PYI_")} if is_frozen() else {}
