"""A site with two small models and a folder of wheels, so that a kit takes a second to make."""

from __future__ import annotations

import os
import random
import shutil
import sys
from pathlib import Path

import pytest
from bundle_site import DOCTOR, Site, run_installer

from helpers.fetching import fork_fetching
from rung import __version__


def make_site(root: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    for name in [*os.environ]:
        if name.startswith(("PIP_", "RUNG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("RUNG_MODELS_DIR", str(root / "store"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    wheels = root / "wheels"
    wheels.mkdir()
    made = Site(root, wheels)
    made.helper("1.0")
    made.wheel(
        "rung",
        __version__,
        {"rungs.py": DOCTOR, "INFO/entry_points.txt": "[console_scripts]\nrung = rungs:main\n"},
        ("helper", "llama-cpp-python"),
    )
    made.wheel("llama_cpp_python", "0.3.36", {"llama_cpp/__init__.py": ""})
    rng = random.Random(4)
    made.configure(*(made.model(n, b"GGUF" + rng.randbytes(200_000)) for n in (1, 2)))
    return made


@pytest.fixture
def site(tmp_path, monkeypatch, fetcher) -> Site:
    if fetcher is not None:
        fork_fetching(fetcher, monkeypatch)
    return make_site(tmp_path, monkeypatch)


@pytest.fixture(scope="session")
def first_kits(tmp_path_factory, fetcher) -> tuple[Path, Path]:
    """A kit, and the next one, which has another package and leaves out the weights."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        if fetcher is not None:
            fork_fetching(fetcher, monkeypatch)
        site = make_site(tmp_path_factory.mktemp("site"), monkeypatch)
        old = site.kit("old").path
        site.helper("2.0")
        return old, site.kit("new", base=old).path


@pytest.fixture(scope="session")
def installed_once(first_kits, tmp_path_factory) -> Path:
    """A target that the first kit was installed into."""
    target = tmp_path_factory.mktemp("installed") / "target"
    ended = run_installer(first_kits[0], "--target", target)
    assert ended.returncode == 0, ended.stderr
    return target


@pytest.fixture
def installed(installed_once, tmp_path) -> Path:
    """A copy of it to spoil."""
    return shutil.copytree(installed_once, tmp_path / "target", symlinks=True)


@pytest.fixture
def kit(first_kits, tmp_path) -> Path:
    """A kit of one's own to spoil."""
    return shutil.copytree(first_kits[0], tmp_path / "kit")


@pytest.fixture
def next_kit(first_kits, tmp_path) -> Path:
    """The one after it."""
    return shutil.copytree(first_kits[1], tmp_path / "next-kit")
