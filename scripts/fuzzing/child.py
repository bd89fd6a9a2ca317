"""The driver's end of a worker: it starts one, feeds it, watches it, and ends it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import psutil

from fuzzing.cases import Case
from fuzzing.worker import receive, send

_LOOK = 0.05
_START = 120.0
_AT_ONCE, _BIT_BY_BIT = "it takes too much memory", "it takes memory little by little"
_FILE = re.compile(r'File "(?P<file>[^"]+)"')
_FRAME = re.compile(r'File ".*?[/\\](?P<place>rung[/\\].*?)", line (?P<line>\d+) in (?P<name>\w+)')


@dataclass(frozen=True)
class Limits:
    """What one input may use.

    Args:
        cpu: seconds of processor time.
        wall: seconds in all; long, since the machine may be busy with other things.
        grown: bytes of memory.
    """

    cpu: float = 2.0
    wall: float = 20.0
    grown: int = 200 << 20


class Child:
    """One worker. It is started by the first input, and again after it was ended.

    Args:
        kind: the target, as `MODULE:CLASS`.
        path: where the target's module is found, beside what the driver itself imports from.
        limits: what one input may use.
        warm_up: how many inputs don't count for the memory that stays in use.
    """

    def __init__(self, kind: str, path: Path, limits: Limits, warm_up: int = 30) -> None:
        self._kind = kind
        self._path = path
        self._limits = limits
        self._warm_up = warm_up
        self._running: _Running | None = None

    def ask(self, case: Case) -> dict[str, Any]:
        """What came of an input; see `Worker.run`. Where it isn't the worker that says so, it has been ended."""
        if self._running is None:
            self._running = _Running(self._kind, self._path)
        came = self._running.ask(case, self._limits, warm=self._running.asked > self._warm_up)
        if came["kind"] in ("hang", "growth", "crash"):
            self.end()
        return came

    def end(self) -> None:
        """End the worker, if there is one."""
        if self._running is not None:
            self._running.end()
            self._running = None


class _Running:
    def __init__(self, kind: str, path: Path) -> None:
        self.asked = 0
        self._folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
        self._said = (self._folder / "said").open("w+b")
        (self._folder / "files").mkdir()
        here = [str(Path(__file__).parents[1]), str(path)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "fuzzing.worker", kind, str(self._folder / "files")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env=_environment(self._folder, here),
            cwd=self._folder,
        )
        self._look = psutil.Process(self._process.pid)
        self._answers: SimpleQueue[bytes | None] = SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()
        try:
            ready = self._answers.get(timeout=_START)
        except Empty:
            ready = None
        if ready is None:
            said = self._stderr()
            self.end()
            raise RuntimeError(f"the worker of {kind} does not start:\n{said}")
        self._base: int = json.loads(ready)["rss"]
        self._last = self._base

    def ask(self, case: Case, limits: Limits, *, warm: bool) -> dict[str, Any]:
        assert self._process.stdin is not None
        self.asked += 1
        began, used = time.monotonic(), self._cpu()
        try:
            send(self._process.stdin, case.dump())
        except OSError:
            return self._crash()
        while True:
            try:
                answer = self._answers.get(timeout=_LOOK)
            except Empty:
                if time.monotonic() - began > limits.wall or self._cpu() - used > limits.cpu:
                    return self._hang(time.monotonic() - began)
                now = self._rss()
                if now - self._base > limits.grown:
                    what = _AT_ONCE if now - self._last > limits.grown else _BIT_BY_BIT
                    return {
                        "kind": "growth",
                        "what": what,
                        "where": self._stack(),
                        "trace": "",
                        "grown": now - self._base,
                    }
                continue
            if answer is None:
                return self._crash()
            came: dict[str, Any] = json.loads(answer)
            self._last = came["rss"]
            if not warm:
                self._base = max(self._base, came["rss"])
            if came["kind"] in ("value", "refused"):
                if came["grown"] > limits.grown:
                    return {**came, "kind": "growth", "what": _AT_ONCE, "where": "", "trace": ""}
                if came["rss"] - self._base > limits.grown:
                    grown = came["rss"] - self._base
                    return {
                        **came,
                        "kind": "growth",
                        "what": _BIT_BY_BIT,
                        "where": "",
                        "trace": "",
                        "grown": grown,
                    }
            return came

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._said):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(OSError, ValueError):
            while (frame := receive(self._process.stdout)) is not None:
                self._answers.put(frame)
        self._answers.put(None)

    def _cpu(self) -> float:
        try:
            used = self._look.cpu_times()
        except psutil.Error:
            return 0.0
        return float(used.user + used.system)

    def _rss(self) -> int:
        try:
            return int(self._look.memory_info().rss)
        except psutil.Error:
            return 0

    def _hang(self, seconds: float) -> dict[str, Any]:
        return {"kind": "hang", "what": "it doesn't end", "where": self._stack(), "trace": "", "seconds": seconds}

    def _crash(self) -> dict[str, Any]:
        try:
            code = self._process.wait(5)
        except subprocess.TimeoutExpired:
            code = 0
        what = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return {"kind": "crash", "what": what, "where": "", "trace": self._stderr()}

    def _stack(self) -> str:
        """Where in rung the worker stands, as its fault handler has it, which needs no interpreter lock."""
        if sys.platform == "win32":
            return ""
        before = self._said.seek(0, os.SEEK_END)
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGUSR1)
        time.sleep(0.2)
        self._said.seek(before)
        dump = self._said.read().decode("utf-8", "replace")
        current = dump.partition("Current thread")[2] or dump
        found = _FRAME.search(current) or _FRAME.search(dump)
        if found:
            return f"{Path(found['place']).name}:{found['line']} {found['name']}"
        # a dump ends after a hundred calls; then the library has to do
        deep = _FILE.search(current)
        return Path(deep["file"]).name if deep else ""

    def _stderr(self) -> str:
        self._said.seek(0)
        return self._said.read().decode("utf-8", "replace")[-4000:]


def _environment(home: Path, path: list[str]) -> dict[str, str]:
    """Nothing of this user: no configuration, no models, no keys, no network."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RUNG_", "XDG_"))}
    kept = {name: value for name, value in kept.items() if not name.upper().endswith(("_API_KEY", "_TOKEN", "_PROXY"))}
    search = os.pathsep.join([*path, *filter(None, [kept.get("PYTHONPATH")])])
    return {
        **kept,
        "HOME": str(home),
        "PYTHONPATH": search,
        "PYTHONFAULTHANDLER": "1",
        "RUNG_MODELS_DIR": str(home / "models"),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
