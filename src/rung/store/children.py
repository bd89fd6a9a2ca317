"""Running the child process that fetches, so that it ends as soon as the pull does."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rung import frozen
from rung.errors import Cancelled, StoreError
from rung.limits import Cancel

_PROGRAM = Path(__file__).with_name("_child.py")
_TICK = 0.1
_SECRET = re.compile(r"(?<=://)[^/\s@]+@|\?[^\s'\"]*")


@dataclass(frozen=True, slots=True)
class ChildEnded:
    """How a child ended.

    Args:
        code: its exit status.
        said: the last line of its stderr, without any keys that a URL may hold.
    """

    code: int
    said: str


def run(
    arguments: Sequence[str],
    *,
    scratch: Path,
    environment: Mapping[str, str],
    cancel: Cancel,
    tick: Callable[[], None],
) -> ChildEnded:
    """Run the child to its end.

    Args:
        arguments: what the child has to do.
        scratch: a folder for the child's temporary files.
        environment: variables in addition to those of this process.
        cancel: kills it.
        tick: called ten times a second. If it raises, the child is killed.

    Raises:
        Cancelled: `cancel` was set.
        StoreError: the app is frozen, and can't run the child.
    """
    temporary = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(scratch))
    command = [*_program(), str(os.getpid()), *arguments]
    stderr = scratch / "stderr"
    with (
        stderr.open("wb") as sink,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=sink,
            env={**os.environ, **environment, **temporary},
            start_new_session=True,
        ) as child,
    ):
        try:
            while child.poll() is None:
                tick()
                if cancel.wait(_TICK):
                    raise Cancelled("cancelled while fetching a model file")
        finally:
            _kill(child)
    return ChildEnded(child.returncode, _last_line(stderr))


def _program() -> list[str]:
    if not frozen.is_frozen():
        # By its path, because its module would load rung. -P: what lies beside it doesn't count as top-level modules.
        return [sys.executable, "-P", "-W", "ignore", str(_PROGRAM)]
    try:
        return frozen.command(frozen.FETCH)
    except frozen.NotFreezable as error:
        raise StoreError(f"nothing can be fetched: {error.message}", hint=error.hint) from None


def _kill(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is not None:
        return
    if sys.platform == "win32":
        child.kill()
    else:
        os.killpg(child.pid, signal.SIGKILL)


def _last_line(stderr: Path) -> str:
    lines = [line.strip() for line in stderr.read_text(encoding="utf-8", errors="replace").splitlines()]
    last = next((line for line in reversed(lines) if line), "it gave no reason")
    return _SECRET.sub("", last.removeprefix("ERROR: "))[:500]
