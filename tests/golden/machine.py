"""A person's machine: a home, a working folder, and `rung` on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rung

HERE = Path(__file__).parent
SOURCE = Path(rung.__file__).parents[1]
OUTSIDE = (HERE / "outside", HERE.parent / "cli" / "outside")
"""Packages of somebody else's. The second offers rung's own kinds of tier, for a checkout that nobody installed."""


@dataclass(frozen=True)
class Said:
    """What came of a command.

    Args:
        code: the exit code.
        stdout: what it wrote, as text.
        stderr: the same.
        asked: what the tiers of the kind `golden` were given.
    """

    code: int
    stdout: str
    stderr: str
    asked: list[dict[str, Any]]

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


class Machine:
    """A machine with nothing on it. Its commands run one after the other in one process, which ends with the block.

    Args:
        home: an empty folder.
    """

    def __init__(self, home: Path) -> None:
        self.home = home.resolve()
        self.work = self.home / "project"
        (self.work / ".git").mkdir(parents=True)
        (self.work / "golden_checks.py").write_text((HERE / "golden_checks.py").read_text())
        kept = ("PATH", "SYSTEMROOT", "TEMP", "TMP")
        self.env = {name: os.environ[name] for name in kept if name in os.environ} | {
            "HOME": str(self.home),
            "USERPROFILE": str(self.home),
            "LANG": "C.UTF-8",
            "PYTHONPATH": os.pathsep.join(map(str, (SOURCE, *OUTSIDE))),
            "RUNG_LEDGER": str(self.home / "ledger.sqlite3"),
            "RUNG_MODELS_DIR": str(self.home / "models"),
        }
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "program.py")],
            cwd=self.work,
            env=self.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def __call__(self, *arguments: str, stdin: str = "", **env: str) -> Said:
        """Run `rung` with these arguments."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"arguments": arguments, "stdin": stdin, "env": env}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the process ended in the middle of rung {' '.join(arguments)}"
        return Said(**json.loads(line))

    def write(self, name: str, text: str) -> str:
        """Write a file into the home; its path."""
        path = self.home / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *_: object) -> None:
        # it waits for its next command, and has nothing left to save
        self._process.kill()
        self._process.communicate()
