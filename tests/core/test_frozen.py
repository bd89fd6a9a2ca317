"""How rung's own programs are started in an app whose executable is no Python."""

from __future__ import annotations

import os
import subprocess
import sys

import psutil
import pytest

import rung
from rung import frozen
from rung.errors import StoreError, TierUnavailable
from rung.limits import Cancel
from rung.store import children
from rung.tiers.llama import LlamaTier
from rung.tiers.llama.host.build import NoBuild, build

FORGOTTEN = r"frozen, and it never called rung\.freeze_support\(\)"

AS_FROZEN = "import sys; sys.frozen = True; import rung; rung.freeze_support(); print('the app itself')"
"""An app that believes to be frozen. A real one is in tests/apps."""


@pytest.fixture
def app(monkeypatch):
    """This process, as if it were a frozen app that has said nothing yet."""
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "argv", ["app"])
    monkeypatch.setattr(frozen, "_called", False)


def start(*arguments):
    return subprocess.run([sys.executable, "-c", AS_FROZEN, *arguments], capture_output=True, text=True, check=False)


def test_a_frozen_app_that_forgot_the_line_is_told_and_starts_nothing(app, tmp_path, monkeypatch):
    """Without the line it would start itself over, and that one again."""
    monkeypatch.setattr(subprocess, "Popen", None)
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    tier = LlamaTier(tmp_path / "model.gguf")
    with pytest.raises(TierUnavailable, match=FORGOTTEN) as caught:
        tier.warm()
    assert "app's main script" in caught.value.hint
    with pytest.raises(StoreError, match=FORGOTTEN):
        children.run(["url"], scratch=tmp_path, environment={}, cancel=Cancel(), tick=lambda: None)
    with pytest.raises(NoBuild, match=FORGOTTEN):
        build()


def test_a_frozen_app_starts_itself_and_an_interpreter_that_was_named_goes_before(app):
    rung.freeze_support()
    assert frozen.command(frozen.WORKER) == [sys.executable, frozen.FLAG, "rung.tiers.llama.worker"]
    assert frozen.command(frozen.WORKER, "/usr/bin/python3") == ["/usr/bin/python3", "-P", "-m", frozen.WORKER]


def test_what_an_app_has_unpacked_is_handed_on_by_a_frozen_app_alone(app, monkeypatch):
    monkeypatch.setenv("_PYI_APPLICATION_HOME_DIR", "/tmp/unpacked")
    assert frozen.shared() == {"_PYI_APPLICATION_HOME_DIR": "/tmp/unpacked"}
    monkeypatch.delattr(sys, "frozen")
    assert frozen.shared() == {}


def test_the_line_does_nothing_where_no_program_is_named():
    assert start("--verbose").stdout == "the app itself\n"


@pytest.mark.slow
def test_a_process_that_is_named_a_program_is_that_and_never_the_app():
    done = start(frozen.FLAG, frozen.BUILD)
    assert (done.returncode, done.stdout[:12]) == (0, '{"version": ')


@pytest.mark.parametrize("module", ["os", "rung.cli", ""])
def test_no_other_module_can_be_run_in_an_app(module):
    done = start(frozen.FLAG, module)
    assert (done.returncode, done.stdout) == (1, "")
    assert "not a program of rung" in done.stderr


LAUNCHED = """
import os, sys, time
folder = sys.argv[1]
os.makedirs(folder)
if os.fork():
    time.sleep(60)
sys.frozen, sys._MEIPASS = True, folder
import rung
rung.freeze_support(end_with_launcher=len(sys.argv) > 2)
print(os.getpid(), flush=True)
time.sleep(60)
"""
"""An app of one file: the launcher unpacks it, and its child is the app."""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("ends", [True, False])
def test_an_app_ends_with_its_killed_launcher_and_tidies_up_only_where_it_said_so(tmp_path, ends):
    folder = tmp_path / "unpacked"
    launcher = subprocess.Popen(
        [sys.executable, "-c", LAUNCHED, str(folder), *["ends"] * ends], stdout=subprocess.PIPE, text=True
    )
    with launcher:
        app = psutil.Process(int(launcher.stdout.readline()))
        launcher.kill()
        try:
            app.wait(5 if ends else 1)
        except psutil.TimeoutExpired:
            app.kill()
            assert not ends
        assert folder.exists() != ends


def test_the_hooks_are_where_pyinstaller_asks_for_them():
    from importlib.metadata import entry_points
    from pathlib import Path

    [entry] = [it for it in entry_points(group="pyinstaller40") if it.module == "rung.pyinstaller"]
    [folder] = entry.load()()
    assert {"hook-rung.py", "hook-llama_cpp.py", "hook-llguidance.py"} <= {it.name for it in Path(folder).iterdir()}
