"""`rung` as a program of its own, in a home and a working folder of its own.

On Linux most commands are forked from an interpreter that has imported rung, which takes a fifth of the time of a new
one. A command is a new interpreter where a test starts `program.command` itself.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rung
from helpers.terminal import take_terminal
from helpers.warm import PIPE, Forked, Warm

SOURCE = Path(rung.__file__).parents[1]
OUTSIDE = Path(__file__).parents[1] / "cli" / "outside"
IMPORTED = (
    *("rung.cli.ask", "rung.cli.bundle", "rung.cli.config", "rung.cli.doctor", "rung.cli.drafts", "rung.cli.init"),
    *("rung.cli.inputs", "rung.cli.ledger", "rung.cli.licences", "rung.cli.models", "rung.cli.outgoing"),
    *("rung.cli.progress", "rung.cli.pulling", "rung.cli.reading", "rung.cli.report", "rung.cli.screen"),
    *("rung.config", "rung.consent.person", "rung.ladder", "rung.ledger", "rung.learn.survey", "rung.store"),
    *("rung.machine.checkup", "rung.machine.leaving", "rung.testing", "rung.tiers.llama.host.tier"),
    # what these load late, and the endpoint tier with its first call
    *("filelock", "jsonschema_rs", "openai", "psutil", "rung.store.pulling", "rung.tiers.openai.conversation"),
    *("typer._adapters", "outside_tier"),
)
"""What most commands load."""
ANNOUNCED = "import os, sys; from rung.cli import main; os.write(2, b'>'); sys.exit(main())"
"""The command, which says when it begins: before, the interpreter itself is not yet ready for a signal."""


def environment(home: Path) -> dict[str, str]:
    """That of a person, with nothing of whoever runs the tests."""
    kept = ("PATH", "SYSTEMROOT", "TEMP", "TMP", "LANG")
    return {name: os.environ[name] for name in kept if name in os.environ} | {
        "HOME": str(home),
        "USERPROFILE": str(home),
        "PYTHONPATH": os.pathsep.join([str(SOURCE), str(OUTSIDE)]),
        "RUNG_MODELS_DIR": str(home / "models"),
        # a warning would stand on stderr, where tests look for what a person reads
        "PYTHONWARNINGS": "error",
    }


@dataclass
class Program:
    """A person's machine: `home` and `work` are folders, `env` their environment.

    Commands are forked from `warm`, and where that is `None` each is a new interpreter.
    """

    home: Path
    work: Path
    warm: Warm | None
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.env = environment(self.home)

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-m", "rung"]

    def __call__(self, *arguments: str, stdin: bytes = b"", **env: str) -> subprocess.CompletedProcess[bytes]:
        """Run a command to its end, in the interpreter that stays."""
        with self.start(*arguments, here=True, **env) as process:
            try:
                out, err = process.communicate(stdin, timeout=120)
            finally:
                process.kill()
        return subprocess.CompletedProcess([*arguments], process.returncode, out, err)

    def start(
        self,
        *arguments: str,
        stdin: int = PIPE,
        stdout: int = PIPE,
        stderr: int = PIPE,
        session: bool = False,
        announced: bool = False,
        prelude: str = "",
        here: bool = False,
        **env: str,
    ) -> Forked | subprocess.Popen[bytes]:
        """Start a command.

        Args:
            arguments: behind `rung`.
            stdin: `PIPE`, `DEVNULL` or a descriptor, as `stdout` and `stderr`.
            session: whether it begins a session of its own, with the terminal that is on stdout then.
            announced: whether it writes `>` to stderr when it begins.
            prelude: Python that runs before an announced command.
            here: whether the interpreter that stays runs it, which takes one command after the other.
            env: variables beside those of the person.
        """
        streams = {"stdin": stdin, "stdout": stdout, "stderr": stderr}
        if self.warm is None:
            command = [sys.executable, "-c", prelude + ANNOUNCED] if announced else self.command
            return subprocess.Popen(
                [*command, *arguments],
                bufsize=0,
                cwd=self.work,
                env={**self.env, **env},
                start_new_session=session,
                preexec_fn=take_terminal if session else None,
                **streams,
            )
        how: dict[str, Any] = {"code": prelude + ANNOUNCED} if announced else {"module": "rung", "here": here}
        line = [str(SOURCE / "rung" / "__main__.py"), *arguments]
        return self.warm.start(line, folder=self.work, env={**self.env, **env}, session=session, **how, **streams)

    def config(self, text: str, name: str = "rung.toml") -> str:
        """Write a configuration beside the work, where it is no project file; its path."""
        path = self.home / name
        path.write_text(text, encoding="utf-8")
        return str(path)
