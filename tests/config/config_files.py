"""Writing configuration files for tests."""

from __future__ import annotations

from pathlib import Path

from rung.config import Places, load, trust

SMALL = '[[tier]]\nname = "small"\nkind = "scripted"\nscript = ["good"]\n'


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def project(places: Places, text: str, *, trusted: bool = True) -> Path:
    path = put(places.working.parent / "rung.toml", text)
    if trusted:
        document = load(places=places).project
        assert document is not None
        trust(document, places)
    return path
