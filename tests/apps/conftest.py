"""Apps as a stranger gets them: frozen by PyInstaller, and windows under a display of their own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
MODEL = "smollm2-135m"
READY_MADE = os.environ.get("RUNG_FROZEN_APPS")
"""A folder where somebody has frozen the apps already: `dist/NAME/NAME` and `onefile/NAME`."""

SOURCES = {"mails": Path(__file__).with_name("mails.py"), "invoices": ROOT / "examples" / "desktop" / "app.py"}

BOTH = """
found = Analysis([{source!r}])
pure = PYZ(found.pure)
EXE(pure, found.scripts, found.binaries, found.datas, name="{name}-onefile")
program = EXE(pure, found.scripts, exclude_binaries=True, name={name!r})
COLLECT(program, found.binaries, found.datas, name={name!r})
"""
"""Makes what `pyinstaller app.py` and `pyinstaller --onefile app.py` make, but looks for imports once: of a window app
that takes minutes. The program of twenty lines is frozen by those two commands."""


@pytest.fixture(scope="session")
def frozen(tmp_path_factory) -> Callable[[str, str], Path]:
    """Gives the executable of a frozen app, `onedir` or `onefile`, away from where it was made."""
    made: dict[str, Path] = {}
    moved = tmp_path_factory.mktemp("an app's own folder")

    def make(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        command = [sys.executable, "-m", "PyInstaller", "--noconfirm", "--log-level", "ERROR"]
        if name == "mails":
            for options in (["--distpath", "dist"], ["--distpath", "onefile", "--onefile"]):
                subprocess.run([*command, "--name", name, *options, str(SOURCES[name])], cwd=folder, check=True)
            return folder
        (folder / "app.spec").write_text(BOTH.format(name=name, source=str(SOURCES[name])), encoding="utf-8")
        subprocess.run([*command, "app.spec"], cwd=folder, check=True)
        (folder / "onefile").mkdir()
        (folder / "dist" / f"{name}-onefile").rename(folder / "onefile" / name)
        return folder

    def give(name: str, kind: str) -> Path:
        pytest.importorskip("PyInstaller", reason="needs PyInstaller")
        if name not in made:
            made[name] = Path(READY_MADE) if READY_MADE else make(name)
        target = moved / f"{name} {kind}"
        if not target.exists():
            if kind == "onefile":
                target.mkdir()
                shutil.copy2(made[name] / "onefile" / name, target / name)
            else:
                shutil.copytree(made[name] / "dist" / name, target, symlinks=True)
        return target / name

    return give


@pytest.fixture(scope="session")
def shut() -> list[str]:
    """The beginning of a command line that runs a program without any network."""
    command = ["unshare", "--net", "--map-root-user"]
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        pytest.skip("the network can't be shut off here")
    return command


@pytest.fixture
def home(tmp_path, weights) -> Path:
    """An app's own folder, with a space and letters beyond ASCII in its path, that holds SmolLM2-135M."""
    file = weights(MODEL).resolve()
    blobs = tmp_path / "Zoë's Büro" / "models" / "blobs"
    blobs.mkdir(parents=True)
    shutil.copy2(file, blobs / file.name)
    return blobs.parents[1]


@dataclass
class Run:
    """A frozen app that runs, with everything that belongs to it."""

    process: subprocess.Popen[str]
    family: list[psutil.Process]

    @property
    def app(self) -> psutil.Process:
        """The app itself: of an app of one file the second process."""
        return [it for it in self.family if not _works(it)][-1]

    def killed(self, *, launcher: bool) -> list[list[str]]:
        """The command lines of what still runs two seconds after a kill.

        Args:
            launcher: whether to kill the process that was started, or else the app itself.
        """
        os.kill((self.family[0] if launcher else self.app).pid, signal.SIGKILL)
        left = [it.cmdline() for it in self.left(within=2.0)]
        self.process.communicate()
        return left

    def left(self, within: float) -> list[psutil.Process]:
        """Which of its processes still run so many seconds later."""
        end = time.monotonic() + within
        while time.monotonic() < end and any(map(_runs, self.family)):
            time.sleep(0.05)
        return [it for it in self.family if _runs(it)]


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _works(process: psutil.Process) -> bool:
    """Whether it is a model's worker."""
    try:
        return "--rung-program" in process.cmdline()
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def start(tmp_path) -> Iterator[Callable[..., Run]]:
    """Starts a frozen app with nothing in its environment but a home and a folder for temporary files, and waits until
    its model's worker runs."""
    started: list[Run] = []

    def run(*command: object, says_ready: bool = True, **variables: str) -> Run:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=bare(tmp_path, **variables),
        )
        it = Run(process, [psutil.Process(process.pid)])
        started.append(it)
        assert process.stdout is not None
        if says_ready:
            assert process.stdout.readline().startswith("ready"), process.stdout.read()
        else:
            while not any(map(_works, it.family[0].children(recursive=True))):
                assert process.poll() is None, process.stdout.read()
                time.sleep(0.05)
        it.family += it.family[0].children(recursive=True)
        return it

    yield run
    for it in started:
        for process in it.family:
            if _runs(process):
                process.kill()
        it.process.communicate()


def bare(tmp_path: Path, **more: str) -> dict[str, str]:
    """An environment without a Python: no path, no variable of this one."""
    temporary = tmp_path / "tmp"
    temporary.mkdir(exist_ok=True)
    return {"HOME": str(tmp_path / "nobody"), "TMPDIR": str(temporary), **more}
