"""Recorded files: how values are written down so that a person can read them and no machine or moment shows."""

from __future__ import annotations

import dataclasses
import difflib
import enum
import json
import os
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from rung import Outcome, Usage

RECORDED = Path(__file__).with_name("recorded")
VARIABLE = "RUNG_RECORD"
ANEW = f"{VARIABLE}=1 python -m pytest tests/golden"

_WIDTH = 116
_SECONDS = frozenset({"seconds", "ttft"})
_NAMES = {"id": "<id>", "request": "<id>", "at": "<time>", "expires": "<time>", "pid": "<pid>"}
_SENTENCES = frozenset({"message", "hint", "detail", "says", "notes", "why_it_left", "method"})
"""Keys whose texts are for people. They are recorded beside the structure, since their wording may change."""


def records() -> bool:
    """Whether files are written instead of compared."""
    return os.environ.get(VARIABLE) == "1"


def compare(found: Mapping[str, str]) -> None:
    """Compare texts with the recorded ones, or record them. All that differ are told.

    Args:
        found: what happened now, by the name of the file below the recorded ones.
    """
    if records():
        for name, text in found.items():
            path = RECORDED / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return
    differences = [told for name in sorted(found) if (told := _difference(name, found[name]))]
    if differences:
        pytest.fail("\n\n".join([*differences, f"If that is meant, record it anew: {ANEW}"]), pytrace=False)


def _difference(name: str, text: str) -> str:
    """What differs; empty where nothing does."""
    path = RECORDED / name
    if not path.is_file():
        return f"{name} was never recorded"
    before = path.read_text(encoding="utf-8")
    if before == text:
        return ""
    lines = difflib.unified_diff(before.splitlines(), text.splitlines(), f"recorded/{name}", f"now/{name}", lineterm="")
    return "\n".join(lines) or f"{name}: only the ends of lines differ"


def stale(names: set[str]) -> set[str]:
    """Recorded files that no run makes any more; when recording they are deleted.

    Args:
        names: of the files that runs make.
    """
    gone = {path.relative_to(RECORDED).as_posix() for path in RECORDED.rglob("*") if path.is_file()} - names
    if records():
        for name in gone:
            (RECORDED / name).unlink()
        return set()
    return gone


def files(name: str, value: Any, said: str = "") -> dict[str, str]:
    """The two files of a run: its structure as JSON, and the sentences in it as text.

    Args:
        name: of both, without an ending.
        value: plain data, without anything volatile.
        said: what a command wrote to stderr.
    """
    sentences: list[str] = []
    structure = _without_sentences(value, "", sentences)
    if said:
        sentences += ["stderr:", *(f"  {line}" for line in said.splitlines())]
    found = {f"{name}.json": pretty(structure) + "\n"}
    if sentences:
        found[f"{name}.txt"] = "\n".join(sentences) + "\n"
    return found


def _without_sentences(value: Any, path: str, sentences: list[str]) -> Any:
    if isinstance(value, dict):
        return {
            key: _taken_out(inner, f"{path}.{key}".removeprefix("."), sentences)
            if key in _SENTENCES
            else _without_sentences(inner, f"{path}.{key}".removeprefix("."), sentences)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_without_sentences(item, f"{path}[{n}]", sentences) for n, item in enumerate(value)]
    return value


def _taken_out(value: Any, path: str, sentences: list[str]) -> Any:
    if isinstance(value, str) and value:
        sentences.append(f"{path}: {value}")
        return "…"
    if isinstance(value, list):
        return [_taken_out(item, f"{path}[{n}]", sentences) for n, item in enumerate(value)]
    return _without_sentences(value, path, sentences)


class Eraser:
    """Replaces what another machine, another folder or another moment would have otherwise.

    Args:
        home: the folder that everything lies in.
    """

    def __init__(self, home: Path) -> None:
        self._home = str(home)

    def text(self, text: str) -> str:
        """A text without paths, ports, hashes and lines of a program."""
        text = text.replace(self._home, "<home>")
        text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:<port>", text)
        text = re.sub(r"\.py:\d+", ".py:<line>", text)
        return re.sub(r"\b[0-9a-f]{64}\b", "<sha256>", text)

    def seconds(self, text: str) -> str:
        """What a person reads, without how long anything took."""
        return re.sub(r"(?<![$\d.])\d+\.(\d\d\b|\d s\b)", lambda m: "<s> s" if m[0].endswith("s") else "<s>", text)

    def value(self, value: Any) -> Any:
        """Plain data without what is volatile in it."""
        if isinstance(value, dict):
            return {self.text(key): self._named(key, inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, str):
            return self.text(value)
        # the last digits depend on the system's mathematics
        return round(value, 9) if isinstance(value, float) else value

    def _named(self, key: str, value: Any) -> Any:
        if key in _SECONDS and isinstance(value, int | float):
            return "<seconds>"
        if key in _NAMES and isinstance(value, str | int):
            return _NAMES[key]
        return self.value(value)


def plain(value: Any) -> Any:
    """An event, or anything in it, as plain data. Fields that have their default are left out."""
    if isinstance(value, enum.Enum):
        return str(value)
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, BaseException):
        return {"is": type(value).__name__, "says": str(value)}
    if isinstance(value, BaseModel):
        return {"is": type(value).__name__, **plain(value.model_dump())}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {"is": type(value).__name__, **dict(_fields(value))}
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return f"<{type(value).__name__}>"


_OUTCOME = {
    "value": None,
    "accepted": False,
    "tier": None,
    "text": None,
    "checked_by": (),
    "attempts": (),
    "best": None,
    "reason": "",
    "usage": Usage(),
    "cost": Decimal(0),
    "seconds": 0.0,
    "left_machine": False,
    "notes": (),
    "hint": "",
}
"""What an outcome tells, and what it tells where nothing happened; most of it follows from the attempts."""


def _fields(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Outcome):
        for name, usual in _OUTCOME.items():
            if getattr(value, name) != usual:
                yield name, plain(getattr(value, name))
        return
    for field in dataclasses.fields(value):
        found = getattr(value, field.name)
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        # 0, 0.0 and False are equal, and not the same
        if type(found) is not type(default) or found != default:
            yield field.name, plain(found)


def pretty(value: Any, indent: str = "") -> str:
    """JSON that a person can read: what fits on a line stands on one. The order of keys is kept."""
    line = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(line) <= _WIDTH or not isinstance(value, dict | list) or not value:
        return line
    inner = indent + "  "
    if isinstance(value, dict):
        rows = [f"{json.dumps(key, ensure_ascii=False)}: {pretty(item, inner)}" for key, item in value.items()]
        opens, closes = "{", "}"
    else:
        rows, opens, closes = [pretty(item, inner) for item in value], "[", "]"
    body = ",\n".join(f"{inner}{row}" for row in rows)
    return f"{opens}\n{body}\n{indent}{closes}"
