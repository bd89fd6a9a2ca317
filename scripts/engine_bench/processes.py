"""The parties' processes, seen from the benchmark."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).resolve().parents[1]


class PartyFailed(Exception):
    """A party could not start, could not do something, or died of it. The message says which."""


class Party:
    """One party, in a process of its own.

    Args:
        kind: which, as `engine_bench.runner` names it.
        python: its interpreter.
        settings: arguments of its class.

    Raises:
        PartyFailed: it can't start.
    """

    def __init__(self, kind: str, python: str | None = None, **settings: Any) -> None:
        self._kind = kind
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  as long as the process
        paths = [str(SCRIPTS), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            [python or sys.executable, "-m", "engine_bench.runner", kind, json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            text=True,
            encoding="utf-8",
        )
        try:
            self._reply()
        except PartyFailed:
            self.close()
            raise

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    def ask(self, do: str, **arguments: Any) -> Any:
        """What a method of the party returns.

        Raises:
            PartyFailed: it raised, or died.
        """
        return self._request({"do": do, "with": arguments})

    def _request(self, request: dict[str, Any]) -> Any:
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise PartyFailed(self._death()) from None
        return self._reply()

    def close(self) -> None:
        """End it."""
        if self.alive:
            self._process.stdin.close()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    def _reply(self) -> Any:
        line = self._process.stdout.readline()
        if not line:
            raise PartyFailed(self._death())
        said = json.loads(line)
        if "error" in said:
            raise PartyFailed(f"{self._kind}: {said['error']}")
        return said["value"]

    def _death(self) -> str:
        code = self._process.wait()
        self._errors.seek(0)
        last = self._errors.read().decode("utf-8", "replace").strip().rpartition("\n")[2]
        return f"{self._kind} died with code {code}: {last[:200]}"
