"""`rung` as a program of its own, in a home and a working folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import rung

SOURCE = Path(rung.__file__).parents[1]
OUTSIDE = Path(__file__).with_name("outside")


@dataclass
class Program:
    """A person's machine: `home` and `work` are folders, `env` their environment."""

    home: Path
    work: Path
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kept = ("PATH", "SYSTEMROOT", "TEMP", "TMP", "LANG")
        self.env = {name: os.environ[name] for name in kept if name in os.environ}
        self.env |= {
            "HOME": str(self.home),
            "USERPROFILE": str(self.home),
            "PYTHONPATH": os.pathsep.join([str(SOURCE), str(OUTSIDE)]),
            "RUNG_MODELS_DIR": str(self.home / "models"),
            # a warning would stand on stderr, where tests look for what a person reads
            "PYTHONWARNINGS": "error",
        }

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-m", "rung"]

    def __call__(self, *arguments: str, stdin: bytes = b"", **env: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*self.command, *arguments],
            input=stdin,
            capture_output=True,
            cwd=self.work,
            env={**self.env, **env},
            timeout=60,
            check=False,
        )

    def config(self, text: str, name: str = "rung.toml") -> str:
        """Write a configuration beside the work, where it is no project file; its path."""
        path = self.home / name
        path.write_text(text, encoding="utf-8")
        return str(path)


@pytest.fixture
def program(tmp_path: Path) -> Program:
    home, work = tmp_path / "home", tmp_path / "home" / "work"
    work.mkdir(parents=True)
    (work / ".git").mkdir()
    return Program(home, work)
