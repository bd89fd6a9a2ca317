"""`rung`, command after command in one process of its own, because importing takes long and a guard stays for good.

Each line of stdin is a command as JSON, each line of stdout what came of it.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import golden_tier
import typer

from rung.cli import app, main
from rung.config import Places

POLICY = "GOLDEN_POLICY"
"""Names the policy file. No user can move it, so this is the one place where these tests go below what users touch."""


def run(arguments: list[str], stdin: str, env: dict[str, str]) -> dict[str, Any]:
    """One command: its exit code, what it wrote, and what the tiers of the kind `golden` were asked.

    Args:
        arguments: behind `rung`.
        stdin: what is piped in.
        env: variables beside those of this process.
    """
    golden_tier.ASKED.clear()
    kept, path, streams = dict(os.environ), sys.path.copy(), (sys.stdin, sys.stdout, sys.stderr)
    os.environ.update(env)
    sys.argv = ["rung", *arguments]
    sys.stdin, out, err = _stream(stdin), _stream(), _stream()
    sys.stdout, sys.stderr = out, err
    try:
        code = main()
    finally:
        sys.stdin, sys.stdout, sys.stderr = streams
        sys.path[:] = path
        os.environ.clear()
        os.environ.update(kept)
    return {"code": code, "stdout": _written(out), "stderr": _written(err), "asked": golden_tier.ASKED}


def _stream(text: str = "") -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8", write_through=True)


def _written(stream: Any) -> str:
    return stream.buffer.getvalue().decode()


def _hook_once(hook: Callable[..., object]) -> None:
    """Every command adds a guard, and the same one twice would only take time."""
    if hook not in _hooks:
        _hooks.append(hook)
        _add(hook)


def _standard() -> Places:
    places = _places()
    return dataclasses.replace(places, policy=Path(os.environ.get(POLICY, places.home / "no-policy.toml")))


if __name__ == "__main__":
    # half of a short command's time is typer reading the same signatures again
    app.app, typer.main.get_command = cache(app.app), cache(typer.main.get_command)
    _hooks: list[Callable[..., object]] = []
    _add, sys.addaudithook = sys.addaudithook, _hook_once
    _places, Places.standard = Places.standard, _standard
    for line in sys.stdin:
        said = run(**json.loads(line))
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()
