"""An interpreter that has its imports behind it and forks for each command: `warm_server.py SOCKET READY MODULE...`.

SOCKET is an open descriptor; each message on it comes with a pipe that holds the order, one for how the command ends,
and the command's stdin, stdout and stderr. READY is Python that is run once, behind the imports. What is forked is a
process of its own with the arguments, environment, working folder and streams of the command. At its end it waits for
threads, runs what was registered for the end, and writes out what it holds, as an interpreter does.
"""

from __future__ import annotations

import atexit
import fcntl
import gc
import importlib
import io
import json
import os
import runpy
import socket
import sys
import termios
import threading
from typing import Any, NoReturn


def main(orders: socket.socket) -> dict[str, Any]:
    """Take orders until nobody can give any more; in each forked command this returns its order."""
    gc.collect()
    gc.freeze()
    while True:
        message, descriptors, *_ = socket.recv_fds(orders, 1, 5)
        _reap(wait=not message)
        if not message:
            orders.close()
            sys.exit(0)
        if os.fork() == 0:
            break
        for descriptor in descriptors:
            os.close(descriptor)
    orders.close()
    order, status, *streams = descriptors
    with os.fdopen(order, "rb") as file:
        told: dict[str, Any] = json.load(file)
    if (command := os.fork()) != 0:
        _watch(command, status, streams)
    os.close(status)
    become(told, streams)
    return told


def _reap(*, wait: bool) -> None:
    """Take leave of the watchers that have ended; with `wait` of all of them."""
    try:
        while os.waitpid(-1, 0 if wait else os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        pass


def _watch(command: int, status: int, streams: list[int]) -> None:
    """Tell the command's process, and at its end how it ended."""
    for descriptor in (0, 1, 2, *streams):
        os.close(descriptor)
    os.write(status, f"{command} ".encode())
    _, ended = os.waitpid(command, 0)
    os.write(status, f"{os.waitstatus_to_exitcode(ended)}".encode())
    os._exit(0)


def become(order: dict[str, Any], streams: list[int]) -> None:
    """Make this process the command that was ordered, up to its first line."""
    if order["session"]:
        os.setsid()
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    if order["session"] and os.isatty(1):
        fcntl.ioctl(1, termios.TIOCSCTTY, 0)
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["env"])
    sys.argv = order["arguments"]
    if not sys.flags.safe_path:
        sys.path[0] = order["folder"]
    sys.stdin = sys.__stdin__ = _text(sys.__stdin__, io.BufferedReader(io.FileIO(0, "r", closefd=False)))
    sys.stdout = sys.__stdout__ = _text(sys.__stdout__, io.BufferedWriter(io.FileIO(1, "w", closefd=False)))
    sys.stderr = sys.__stderr__ = _text(sys.__stderr__, io.BufferedWriter(io.FileIO(2, "w", closefd=False)))


def _end(code: int) -> NoReturn:
    """End as the interpreter does, without taking every module apart: that alone takes longer than most commands."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _text(like: object, buffer: io.BufferedReader | io.BufferedWriter) -> io.TextIOWrapper:
    """A stream as the interpreter would have opened it."""
    assert isinstance(like, io.TextIOWrapper)
    line_buffering = like is sys.__stderr__ or buffer.isatty()
    return io.TextIOWrapper(buffer, like.encoding, like.errors, line_buffering=line_buffering)


if __name__ == "__main__":
    for name in sys.argv[3:]:
        importlib.import_module(name)
    exec(sys.argv[2], {})
    order = main(socket.socket(fileno=int(sys.argv[1])))
    try:
        if order["code"]:
            exec(order["code"], {"__name__": "__main__"})
        elif order["module"]:
            runpy.run_module(order["module"], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(order["arguments"][0], run_name="__main__")
    except SystemExit as ended:
        if not isinstance(ended.code, int):
            raise
        _end(ended.code)
