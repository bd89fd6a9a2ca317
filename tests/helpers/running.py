"""Python in a process of its own, forked from an interpreter that has imported rung."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import rung
from helpers.warm import Forked, Warm

SOURCE = Path(rung.__file__).parents[1]


def start_python(
    warm: Warm | None, code: str | Path, *arguments: object, **env: str
) -> Forked | subprocess.Popen[bytes]:
    """Start a text or a file of Python, with rung in reach.

    Args:
        warm: what it is forked from; `None` for a new interpreter.
        code: the text, or the file.
        arguments: `sys.argv` behind the program's name.
        env: variables beside those of this process.
    """
    words, environment = [*map(str, arguments)], {**os.environ, "PYTHONPATH": str(SOURCE), **env}
    if warm is None:
        what = [str(code)] if isinstance(code, Path) else ["-c", code]
        line = [sys.executable, *what, *words]
        return subprocess.Popen(
            line, env=environment, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    if isinstance(code, Path):
        return warm.start([str(code), *words], folder=Path.cwd(), env=environment)
    return warm.start(["-c", *words], folder=Path.cwd(), env=environment, code=code)


def run_python(warm: Warm | None, code: str | Path, *arguments: object, **env: str) -> tuple[int, str, str]:
    """Run such a program to its end; its exit code and what it wrote."""
    with start_python(warm, code, *arguments, **env) as process:
        try:
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()
