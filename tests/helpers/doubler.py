"""A person with a task, two scripted tiers that double numbers, and files of numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

from helpers.program import OUTSIDE, Program
from helpers.warm import Forked
from rung.cli.app import invoke
from rung.cli.interrupt import Interrupts
from rung.learn import calibrating
from rung.learn.making import make_task


@dataclass
class Done:
    """What came of a command."""

    code: int
    out: str
    err: str

    @property
    def object(self) -> dict[str, Any]:
        assert self.out, self.err
        found: dict[str, Any] = json.loads(self.out)
        return found


@dataclass
class Doubler:
    """Commands run in this process, so that scipy is imported once; `words` gives those of one of its own."""

    program: Program
    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch

    def __post_init__(self) -> None:
        make_task(self.folder, {"prompt": "double {n}", "regex": "[0-9]+"})
        self.monkeypatch.chdir(self.program.work)
        # intervals are tested where they are made; here fewer draws will do
        self.monkeypatch.setattr(calibrating, "_DRAWS", 30)
        self.monkeypatch.syspath_prepend(str(OUTSIDE))
        for name in ("HOME", "USERPROFILE"):
            self.monkeypatch.setenv(name, str(self.program.home))

    @property
    def folder(self) -> Path:
        """The task's."""
        return self.program.home / "tasks" / "double"

    def ladder(self, small: Mapping[str, Any], mid: Mapping[str, Any]) -> None:
        """Write the configuration: settings of the two tiers."""
        counts = (self.program.home / "counts").as_posix()
        lines = []
        for name, table in (("small", small), ("mid", mid)):
            lines += ["[[tier]]", f'name = "{name}"', 'kind = "doubling"', f'counts = "{counts}"']
            lines += [f"{key} = {_toml(value)}" for key, value in table.items()]
        self.program.config("\n".join(lines))

    def data(self, numbers: Iterable[int], name: str = "data.csv", group: Callable[[int], object] | None = None) -> str:
        """Write a file of numbers; its name."""
        head, row = ("n", "{n}") if group is None else ("n,group", "{n},{group}")
        lines = [row.format(n=n, group=group(n) if group else "") for n in numbers]
        (self.program.work / name).write_text("\n".join([head, *lines]) + "\n")
        return name

    def once(self, files: dict[str, bytes], make: Callable[[], object]) -> None:
        """Make the files of this home, or put there what was made the first time. The configuration isn't among them.

        Args:
            files: kept between tests, and empty at first.
            make: runs the commands that make them.
        """
        home = self.program.home
        if files:
            for name, content in files.items():
                (home / name).parent.mkdir(parents=True, exist_ok=True)
                (home / name).write_bytes(content)
            return
        make()
        found = [path for path in home.rglob("*") if path.is_file() and path.name != "rung.toml"]
        files |= {str(path.relative_to(home)): path.read_bytes() for path in found}

    def words(self, command: str, *words: str) -> tuple[str, ...]:
        return (command, *words, "--task", "double", "--config", str(self.program.home / "rung.toml"))

    def __call__(self, command: str, *words: str, stdin: str | None = None) -> Done:
        if stdin is None:
            code = invoke(self.words(command, *words), Interrupts())
        else:
            typed = self.program.work / "typed"
            typed.write_text(stdin)
            with typed.open() as file, self.monkeypatch.context() as patch:
                patch.setattr("sys.stdin", file)
                code = invoke(self.words(command, *words), Interrupts())
        return Done(code, *self.capsys.readouterr())

    def calls(self) -> list[str]:
        path = self.program.home / "counts"
        return path.read_text().splitlines() if path.exists() else []


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f'"{key}" = {inner}' for key, inner in value.items()) + "}"
    return json.dumps(json.dumps(value)) if isinstance(value, list) and len(value) > _LONG else json.dumps(value)


_LONG = 99
"""Numbers of which a tier is told in a text."""
SHOWN = re.compile(r"--- (\d+) judged, at most (\d+) left\s+double (\d+)\s+A: (.*?)\s+B: (.*?)\s+\[a\] only A")


class Judge:
    """Somebody who knows what is right, at the other end of a command's pipes."""

    def __init__(self, process: Forked, mistakes: Mapping[int, str] | None = None) -> None:
        assert process.stdin is not None
        assert process.stderr is not None
        self.process, self.shown = process, list[tuple[int, str, str]]()
        self.heads: list[tuple[int, int]] = []
        self._in: IO[bytes] = process.stdin
        self._err: IO[bytes] = process.stderr
        self._mistakes = mistakes or {}
        self.said = self.out = ""

    def question(self) -> bool:
        """Read on until a question is shown; whether one is."""
        text = ""
        while not text.endswith("[q] stop: "):
            piece = self._err.read(1).decode()
            self.said += piece
            text += piece
            if not piece or text.endswith("any other key ends: "):
                return False
        found = SHOWN.search(text)
        assert found is not None, text
        self.heads.append((int(found[1]), int(found[2])))
        self.shown.append((int(found[3]), found[4].strip(), found[5].strip()))
        return True

    def answer(self) -> None:
        number, a, b = self.shown[-1]
        right = str(2 * number)
        letter = {(True, False): "a", (False, True): "b", (True, True): "t"}.get((a == right, b == right), "n")
        self.type(self._mistakes.get(number, letter))

    def type(self, letter: str) -> None:
        self._in.write(f"{letter}\n".encode())

    def all(self) -> int:
        """Judge until enough is known; the exit code."""
        while self.question():
            self.answer()
        with self.process:
            out, err = self.process.communicate()
        self.out, self.said = out.decode(), self.said + err.decode()
        return self.process.returncode or 0

    def kill(self) -> None:
        with self.process:
            self.process.kill()
