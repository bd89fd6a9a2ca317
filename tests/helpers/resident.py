"""An interpreter that runs command after command, forked from the one that `warm_server` is: `resident.py`.

A command that is forked pays for each page of memory that it touches, which takes several times as long as most
commands do. Here it pays for what it does. What the end of a process would do is done behind each command: threads are
waited for, what was registered for the end is run, and everything that a command leaves in a process is taken back.

stdin is a socket. Its messages are those of `warm_server`, and each is answered in the same way.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import typer
from hooks import ending_hooks
from warm_server import become

from rung.cli import app
from rung.tiers.llama.host import build
from rung.tiers.openai.breaker import breaker_of
from rung.tiers.openai.memory import memory_of


def serve(orders: socket.socket) -> None:
    """Run commands until nobody can order any more."""
    # half of a short command's time is typer reading the same signatures again
    app.app, typer.main.get_command = cache(app.app), cache(typer.main.get_command)
    build.subprocess = _Described()
    while True:
        message, descriptors, *_ = socket.recv_fds(orders, 1, 5)
        if not message:
            return
        order, status, *streams = descriptors
        with os.fdopen(order, "rb") as file:
            told: dict[str, Any] = json.load(file)
        os.write(status, f"{os.getpid()} ".encode())
        with ending_hooks(), _undone():
            become(told, streams)
            code = _run()
        os.write(status, f"{code}".encode())
        os.close(status)


def _run() -> int:
    """Run `python -m rung`, to the end that its process would come to; its exit code."""
    code = 0
    try:
        runpy.run_module("rung", run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:  # noqa: BLE001  as the interpreter does
        traceback.print_exc()
        code = 1
    for thread in threading.enumerate():
        if not thread.daemon and thread is not threading.current_thread():
            thread.join()
    return code


class _Described:
    """Stands for `subprocess` where a process tells of the build of llama.cpp: one that told the same is not started
    again. It loads the library, which takes longer than all that is then said.
    """

    DEVNULL, TimeoutExpired = subprocess.DEVNULL, subprocess.TimeoutExpired

    def __init__(self) -> None:
        self._made: dict[object, subprocess.CompletedProcess[bytes]] = {}

    def run(self, command: list[str], *, env: dict[str, str], **how: Any) -> subprocess.CompletedProcess[bytes]:
        """Run the command, unless it is this interpreter and has told already."""
        folders = ("HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP")
        key = (*command, *sorted((name, value) for name, value in env.items() if name not in folders))
        told = self._made.get(key)
        if told is None:
            told = subprocess.run(command, env=env, **how)
            if command[0] == sys.executable:
                self._made[key] = told
        return told


@contextlib.contextmanager
def _undone() -> Iterator[None]:
    """Take back what a command changes for its whole process, and do what is done at the end of one."""
    environment, path, modules = dict(os.environ), [*sys.path], {*sys.modules}
    kept = sys.argv, sys.stdin, sys.stdout, sys.stderr, sys.__stdin__, sys.__stdout__, sys.__stderr__
    ends: list[tuple[Callable[..., object], tuple[Any, ...], dict[str, Any]]] = []
    register = atexit.register

    def at_end(function: Callable[..., object], *args: Any, **named: Any) -> Callable[..., object]:
        ends.append((function, args, named))
        return function

    atexit.register = at_end
    try:
        yield
    finally:
        while ends:
            function, args, named = ends.pop()
            function(*args, **named)
        weakref.finalize._exitfunc()  # type: ignore[attr-defined]
        weakref.finalize._shutdown = False  # type: ignore[attr-defined]
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):  # nobody reads it any more
                stream.flush()
        atexit.register = register
        sys.argv, sys.stdin, sys.stdout, sys.stderr, sys.__stdin__, sys.__stdout__, sys.__stderr__ = kept  # type: ignore[misc]
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nowhere, descriptor)
        os.close(nowhere)
        _forget(modules, os.environ["HOME"])
        os.chdir("/")
        os.environ.clear()
        os.environ.update(environment)
        time.tzset()
        sys.path[:] = path
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for shared in (breaker_of, memory_of):
            shared.cache_clear()
        # what is left then belongs to modules, and isn't looked at again
        gc.collect()
        gc.freeze()


def _forget(modules: set[str], home: str) -> None:
    """Forget the modules that a person wrote."""
    for name in {*sys.modules} - modules:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(home):
            del sys.modules[name]
    for place in [*sys.path_importer_cache]:
        if place.startswith(home):
            del sys.path_importer_cache[place]


if __name__ == "__main__":
    ours = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)
    serve(ours)
