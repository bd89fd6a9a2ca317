"""The child process: runs one input after another, and says what came of each.

It is started as `python -m fuzzing.worker MODULE:CLASS FOLDER`. A frame on stdin is an input, a frame on stdout what
came of it as JSON. What the product prints goes elsewhere.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import json
import os
import signal
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import psutil

from fuzzing.cases import Broken, Case, Refusal, Target

_LENGTH = struct.Struct(">I")
_LINGER = 4.0
"""Seconds that a thread may go on after its call was given up. What ends it counts processor time, of which a busy
machine gives a third."""

_LONGEST_TRACE = 4000
_OURS = f"{os.sep}rung{os.sep}"


def receive(pipe: BinaryIO) -> bytes | None:
    """A frame; `None` at the end."""
    head = pipe.read(_LENGTH.size)
    return pipe.read(_LENGTH.unpack(head)[0]) if len(head) == _LENGTH.size else None


def send(pipe: BinaryIO, content: bytes) -> None:
    """Write a frame."""
    pipe.write(_LENGTH.pack(len(content)) + content)
    pipe.flush()


class Watch:
    """Notes what no input may lead to: a connection beyond this machine, a look-up, a program, a foreign library."""

    def __init__(self, may_start: Callable[[Any], bool]) -> None:
        self.noted: list[str] = []
        self._may_start = may_start
        self.armed = False
        sys.addaudithook(self._see)

    def _see(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.armed:
            return
        if event == "socket.connect":
            address = args[1][0] if isinstance(args[1], tuple) else args[1]
            if not str(address).startswith(("127.", "::1")):
                self.noted.append("it connects to another machine")
        elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
            if args[0] not in ("127.0.0.1", "::1", None):
                self.noted.append("it looks a name up")
        elif event == "subprocess.Popen" and self._may_start(args[1]):
            return
        elif event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn"):
            self.noted.append(f"it starts a program ({event})")
        elif event == "ctypes.dlopen" and {"/", os.sep} & set(os.fsdecode(args[0] or "")):
            self.noted.append("it loads a library from a place that the input names")


def _reset_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak(process: psutil.Process) -> int:
    """The most memory since the last reset, in bytes; where the system doesn't tell, what is in use now."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return int(process.memory_info().rss)


def _where(error: BaseException) -> str:
    """The last line of rung that an exception passed, and the line that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = next((f for f in reversed(frames) if _OURS in f.filename), None)
    # where the stack is full says nothing
    last = None if isinstance(error, RecursionError) and ours else (frames or [None])[-1]
    parts = [f for f in (ours, last) if f is not None]
    return " < ".join(dict.fromkeys(f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in parts))


def _trace(error: BaseException) -> str:
    text = "".join(traceback.format_exception(error))
    return (
        text if len(text) <= _LONGEST_TRACE else f"{text[: _LONGEST_TRACE // 2]}\n...\n{text[-_LONGEST_TRACE // 2 :]}"
    )


def _foreign(error: BaseException) -> dict[str, Any]:
    return {"kind": "exception", "what": type(error).__name__, "where": _where(error), "trace": _trace(error)}


class Worker:
    """Runs inputs of one target."""

    def __init__(self, target: Target) -> None:
        from rung.errors import RungError

        self._target = target
        self._ours = (RungError, Refusal)
        self._process = psutil.Process()
        self._watch = Watch(getattr(target, "may_start", lambda command: False))
        self._strays: list[BaseException] = []
        threading.excepthook = self._stray
        self._threads = set(threading.enumerate())

    def _stray(self, args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None:
            self._strays.append(args.exc_value)

    def run(self, case: Case) -> dict[str, Any]:
        """What came of an input: `value`, `refused`, or a finding with its `kind`."""
        self._watch.noted.clear()
        self._strays.clear()
        _reset_peak()
        before = self._process.memory_info().rss
        began = time.monotonic()
        self._watch.armed = True
        try:
            came = {"kind": "value" if self._target.run(case) else "refused"}
        except self._ours:
            came = {"kind": "refused"}
        except Broken as broken:
            came = {"kind": "broken", "what": str(broken), "where": "", "trace": _trace(broken)}
        except BaseException as error:  # noqa: BLE001  that is what is looked for
            came = _foreign(error)
        self._watch.armed = False
        seconds = time.monotonic() - began
        grown = _peak(self._process) - before
        if came["kind"] in ("value", "refused"):
            came = self._afterwards() or came
        return {**came, "seconds": seconds, "grown": grown, "rss": self._process.memory_info().rss}

    def _afterwards(self) -> dict[str, Any] | None:
        """What is wrong although the call itself ended well."""
        if self._watch.noted:
            return {"kind": "reached", "what": self._watch.noted[0], "where": "", "trace": ""}
        until = time.monotonic() + _LINGER
        for thread in set(threading.enumerate()) - self._threads:
            if thread.name == "rung-call":
                thread.join(max(0.0, until - time.monotonic()))
                if thread.is_alive():
                    frame = sys._current_frames().get(thread.ident or 0)
                    trace = "".join(traceback.format_stack(frame)) if frame else ""
                    return {"kind": "hang", "what": "a thread goes on", "where": _stood(trace), "trace": trace}
        return _foreign(self._strays[0]) if self._strays else None


def _stood(trace: str) -> str:
    """The innermost line of rung in a stack, the oldest call first."""
    lines = [line.strip() for line in trace.splitlines() if "File " in line and _OURS in line]
    return lines[-1].rsplit(_OURS, 1)[1].replace('"', "") if lines else ""


def main() -> None:
    """Run inputs until there are no more."""
    name, folder = sys.argv[1:3]
    # Whatever prints to file descriptor 1 must not mix with the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    if hasattr(faulthandler, "register"):
        faulthandler.register(signal.SIGUSR1, file=2)
    module, _, kind = name.partition(":")
    target: Target = getattr(importlib.import_module(module), kind)()
    target.prepare(Path(folder))
    worker = Worker(target)
    send(answers, json.dumps({"rss": psutil.Process().memory_info().rss}).encode())
    while (frame := receive(sys.stdin.buffer)) is not None:
        send(answers, json.dumps(worker.run(Case.load(frame))).encode())
    # Not by way of finalizers, which may wait for what a target left running.
    os._exit(0)


if __name__ == "__main__":
    main()
