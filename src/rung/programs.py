"""Running somebody's program on a text, so that it can neither hang its caller nor fill the memory.

Its time, its output and its whole process group are bounded. What differs between systems is in `_stop`.
"""

from __future__ import annotations

import atexit
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Literal

from rung.limits import Cancel, Deadline

if TYPE_CHECKING:
    from subprocess import Popen

_PIECE = 1 << 16
_KEPT = 1 << 13
"""Bytes that are kept from the beginning of an output, and from its end: several screens each."""
_MOST = 16 << 20
"""Bytes that a program may write to both outputs. A checker that writes more about one answer will never end."""
_TICK = 0.01
"""Seconds between two looks at a program."""
_GRACE = 0.1
"""Seconds that a program has to end after SIGTERM. They must fit into the 200 ms that follow a deadline."""
_DRAIN = 1.0
"""Seconds for reading the rest of an output. It only takes that long if a process that left the group holds it open."""
_SECRET = re.compile(
    r"(^|_)(KEY|APIKEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|PASS|CREDENTIALS?)(_ID)?($|_\d+$|_FILE$)", re.IGNORECASE
)

End = Literal["exited", "timeout", "cancelled", "flood"]


class _Running:
    """The programs that run, so that none outlives this process: a thread that waits for one may die with it."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Start again with none, in a forked child. Those that run are the parent's."""
        self._lock = threading.Lock()
        self._processes: set[Popen[bytes]] = set()

    def begin(self, start: Callable[[], Popen[bytes]]) -> Popen[bytes]:
        """Start a program, unless this process is about to end: then whoever asks waits for that."""
        with self._lock:
            process = start()
            self._processes.add(process)
        return process

    def ended(self, process: Popen[bytes]) -> None:
        self._processes.discard(process)

    def stop(self) -> None:
        """Stop all of them, and let no other one start."""
        if self._lock.acquire(timeout=_DRAIN):  # and never let go of
            for process in [*self._processes]:
                _stop(process)


_running = _Running()
atexit.register(_running.stop)
if sys.platform != "win32":
    os.register_at_fork(after_in_child=_running.forget)


def stop_all() -> None:
    """Stop every program that this process runs, just before it ends. None starts afterwards.

    A process that ends by itself needs no such call. One that ends by `os._exit` does.
    """
    _running.stop()


@dataclass(frozen=True, slots=True)
class ProgramEnded:
    """How a program ended.

    Args:
        how: whether it exited by itself, or why it was stopped: its time, the caller's flag, too much output.
        code: exit code; negative for the signal that ended it.
        output: its stdout. The middle of a long output is left out.
        errors: its stderr, shortened in the same way.
    """

    how: End
    code: int
    output: str
    errors: str


def run(
    argv: Sequence[str],
    text: bytes,
    *,
    deadline: Deadline,
    cancel: Cancel,
    environment: Mapping[str, str] | None = None,
) -> ProgramEnded:
    """Run a program on a text. Neither it nor anything of its process group is left when this returns.

    The exit of the program itself is the end. What it leaves behind in its group is stopped then and not waited for,
    even if that still holds the outputs open.

    Args:
        argv: the program and its arguments. No shell reads them.
        text: text for its stdin. The program needn't read it.
        deadline: when the program is stopped.
        cancel: stops it at once.
        environment: its variables; by default those of this process, without those that are named like a secret.

    Raises:
        OSError: it can't be started.
    """
    import subprocess

    # It gets its own session, so that its children are a group that can be stopped. On Windows `taskkill` finds them.
    process = _running.begin(
        lambda: subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
            env=dict(without_secrets(os.environ) if environment is None else environment),
        )
    )
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None  # noqa: PT018
    # Threads and not a selector, because Windows offers nothing else for pipes. They end with the pipes, and each
    # closes its own. A thread is given up if a runaway process that left the group holds its pipe.
    outputs = _Output(process.stdout), _Output(process.stderr)
    feeder = threading.Thread(target=_feed, args=(process.stdin, text), name="rung-program-stdin", daemon=True)
    feeder.start()
    readers = [output.start() for output in outputs]
    how: End = "timeout"
    try:
        how = _wait(process, outputs, deadline, cancel)
    finally:
        _stop(process)
        _running.ended(process)
        # everything that a program wrote before its own end is waited for; a stopped program has said enough
        left = deadline.remaining()
        patience = min(_DRAIN, _DRAIN if left is None else max(left, _GRACE)) if how == "exited" else _GRACE
        end = time.monotonic() + patience
        for thread in (*readers, feeder):
            thread.join(max(0.0, end - time.monotonic()))
    code = process.returncode
    return ProgramEnded(how, -1 if code is None else code, outputs[0].text(), outputs[1].text())


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables whose names don't end like the name of a secret, as `OPENAI_API_KEY` and `GITHUB_TOKEN` do.

    A program that checks an answer may run it, as `python -` does. Code that a model wrote has no business with keys.
    """
    return {name: value for name, value in environment.items() if not _SECRET.search(name)}


class _Output:
    """Reads an output to its end, and keeps its beginning and end."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()
        self._head, self._tail = bytearray(), bytearray()
        self.length = 0
        self.ended = False

    def start(self) -> threading.Thread:
        thread = threading.Thread(target=self._read, name="rung-program-output", daemon=True)
        thread.start()
        return thread

    def text(self) -> str:
        with self._lock:
            left_out = self.length - len(self._head) - len(self._tail)
            head, tail = (part.decode("utf-8", "replace") for part in (self._head, self._tail))
        return f"{head}\n[… {left_out:,} bytes left out …]\n{tail}" if left_out else head + tail

    def _read(self) -> None:
        with self._pipe as pipe:
            try:
                while piece := pipe.read(_PIECE):
                    self._keep(piece)
            except (OSError, ValueError):
                pass
        self.ended = True

    def _keep(self, piece: bytes) -> None:
        with self._lock:
            self.length += len(piece)
            room = _KEPT - len(self._head)
            self._head += piece[:room]
            self._tail += piece[room:]
            del self._tail[:-_KEPT]


def _feed(pipe: IO[bytes], text: bytes) -> None:
    try:
        with pipe:
            left = memoryview(text)
            while left:
                left = left[pipe.write(left[:_PIECE]) :]
    except (OSError, ValueError):  # a program that doesn't read, or has ended
        pass


def _wait(process: Popen[bytes], outputs: tuple[_Output, ...], deadline: Deadline, cancel: Cancel) -> End:
    """Wait until the program has exited, or must not go on."""
    pause = 0.001
    while True:
        if _exited(process):
            return "exited"
        if cancel.is_set():
            return "cancelled"
        if sum(output.length for output in outputs) > _MOST:
            return "flood"
        if deadline.passed:
            return "timeout"
        left = deadline.remaining()
        cancel.wait(pause if left is None else min(pause, left))
        pause = min(_TICK, pause * 2)


if sys.platform == "win32":

    def _exited(process: Popen[bytes]) -> bool:
        return process.poll() is not None

    def _stop(process: Popen[bytes]) -> None:
        # Best effort, and never tried on Windows. A job object would catch what `taskkill` misses: a child whose parent
        # is gone. But Popen has no way to put a program into one before it runs.
        import subprocess

        if process.poll() is None:
            tool = os.path.join(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32", "taskkill.exe")  # noqa: PTH118
            try:
                subprocess.run(
                    [tool, "/F", "/T", "/PID", str(process.pid)], capture_output=True, timeout=5, check=False
                )
            except (OSError, subprocess.TimeoutExpired):
                process.kill()
        _reap(process)

else:

    def _exited(process: Popen[bytes]) -> bool:
        # Looked at without reaping it: until it is reaped, the group's number can't be given to anybody else.
        if not hasattr(os, "waitid"):  # macOS before Python 3.13
            return process.poll() is not None
        try:
            return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:  # some other code in this process waits for every child
            return process.poll() is not None

    def _stop(process: Popen[bytes]) -> None:
        _signal(process.pid, signal.SIGTERM)
        end = time.monotonic() + _GRACE
        while _exited(process) is False and time.monotonic() < end:
            time.sleep(0.002)
        if not _exited(process):
            _signal(process.pid, signal.SIGKILL)
        _reap(process)
        # From here on the number is sure to be this group's only while somebody is left in it. Whoever is left has
        # until `end`.
        while _signal(process.pid, 0):
            if time.monotonic() >= end:
                _signal(process.pid, signal.SIGKILL)
                return
            time.sleep(0.002)

    def _signal(group: int, number: int) -> bool:
        """Send a signal to a group. Returns whether anybody was in it."""
        try:
            os.killpg(group, number)
        except ProcessLookupError:
            return False
        except PermissionError:  # the process changed its user; macOS also says so of a group of zombies
            return False
        return True


def _reap(process: Popen[bytes]) -> None:
    from subprocess import TimeoutExpired

    try:
        process.wait(1.0)  # a process that the kernel holds in a call is left to the kernel
    except TimeoutExpired:
        pass
