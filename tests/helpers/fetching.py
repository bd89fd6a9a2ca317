"""The program that fetches for a pull, forked from an interpreter that has imported pip.

A pull of wheels starts pip once for each part, and pip needs a second to import itself.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from helpers.warm import Forked, Warm

IMPORTED = (
    *("pip._internal.cli.main", "pip._internal.commands.download"),
    # what these load late
    *("pip._internal.resolution.resolvelib.resolver", "pip._internal.metadata.importlib", "pip._vendor.pkg_resources"),
    *("pip._vendor.distro", "argparse", "plistlib", "encodings.ascii", "encodings.cp437"),
    # of huggingface_hub itself nothing, because it reads the environment while it is imported
    *("httpx2", "tqdm.auto", "yaml", "filelock"),
)
OPTIONS = ("-P", "-W", "ignore")
READY = (
    "import functools; from pip._internal.network import session;"
    " session.user_agent = functools.cache(session.user_agent); session.user_agent()"
)
"""Half of a download's time is pip looking up, for the name that it gives itself, what is installed here."""
PROGRAM = "import os, runpy, sys; sys.argv[1] = str(os.getppid()); runpy.run_path(sys.argv[0], run_name='__main__')"
"""The program, which lives as long as its parent: that is not this process here."""


@contextmanager
def warm_fetching() -> Iterator[Warm]:
    """The interpreter to fork from."""
    with Warm(os.environ, IMPORTED, OPTIONS, READY) as warm:
        yield warm


def fork_fetching(warm: Warm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pulls of this process fork what fetches, instead of starting it.

    Args:
        warm: the interpreter to fork from.
        monkeypatch: undoes it.
    """

    def start(command: list[str], *, stdin: int, stdout: int, stderr: Any, env: dict[str, str], **how: Any) -> Forked:
        _, *options, program = command[: 2 + len(OPTIONS)]
        assert (tuple(options), how) == (OPTIONS, {"start_new_session": True}), "the program is started in another way"
        arguments = [program, *command[2 + len(OPTIONS) :]]
        return warm.start(
            arguments,
            folder=Path.cwd(),
            env=env,
            code=PROGRAM,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            session=True,
        )

    forking = SimpleNamespace(Popen=start, PIPE=subprocess.PIPE, DEVNULL=subprocess.DEVNULL)
    monkeypatch.setattr("rung.store.children.subprocess", forking)
