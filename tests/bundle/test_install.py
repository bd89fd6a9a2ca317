"""The other side: `install.py` with nothing but the system's Python."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from bundle_site import alter, launch, make_wheel, run_installer, tree

from helpers.each import each
from rung.bundle import install
from rung.bundle.install import MANIFEST, Refused, read_manifest, safe, unzip

# of the interpreter that made the virtual environment, so that nothing of ours is there
BARE = getattr(sys, "_base_executable", sys.executable)


@pytest.fixture
def target(tmp_path) -> Path:
    return tmp_path / "a site's folder"


def refused(kit: Path, target: Path, word: str) -> None:
    """The installer names `word`, and the target is as it was."""
    before = tree(target) if target.exists() else None
    ended = run_installer(kit, "--target", target, python=BARE)
    assert ended.returncode == 1
    assert word in ended.stderr
    assert "Traceback" not in ended.stderr
    assert (tree(target) if target.exists() else None) == before


@pytest.mark.slow
def test_a_kit_installs_without_pip_and_keeps_what_doctor_said(kit, target):
    ended = run_installer(kit, "--target", target, python=BARE)
    assert ended.returncode == 0, ended.stderr
    assert launch(target) == "rung 1.0"
    manifest = read_manifest(kit)
    home = target / "versions" / manifest.version
    record = json.loads((home / "acceptance.json").read_text())
    assert record["manifest_sha256"] == manifest.sha256
    assert record["doctor"] == {
        "status": "ok",
        "config": str(home / "rung.toml"),
        "models": str(target / "models"),
    }
    assert not list((home / "python").rglob("pip"))


@pytest.mark.slow
def test_installing_again_changes_nothing(kit, target):
    run_installer(kit, "--target", target)
    before = tree(target)
    assert run_installer(kit, "--target", target).returncode == 0
    assert tree(target) == before


@pytest.mark.slow
def test_installing_again_mends_damaged_weights(kit, target):
    run_installer(kit, "--target", target)
    before = tree(target)
    blob = next((target / "models" / "blobs").iterdir())
    blob.write_bytes(blob.read_bytes()[:-1])
    assert run_installer(kit, "--target", target).returncode == 0
    assert tree(target) == before


@pytest.mark.slow
def test_a_flipped_bit_is_named_before_anything_is_written(kit, target):
    for path in (kit / MANIFEST, *sorted(kit.glob("*.tar"))):
        good = path.read_bytes()
        bad = bytearray(good)
        bad[len(bad) // 3] ^= 16
        path.write_bytes(bad)
        refused(kit, target, path.name)
        path.write_bytes(good)


def test_a_missing_part_is_named_before_anything_is_written(kit, target):
    (kit / "part-003.tar").unlink()
    refused(kit, target, "part-003.tar is missing")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"system": "Plan9"}, "the kit is for"),
        ({"machine": "riscv64"}, "riscv64"),
        ({"python": "3.7"}, "CPython 3.7"),
        ({"cpu": ["avx2", "quantum"]}, "lacks quantum"),
        ({"glibc": "2.999"}, "glibc 2.999"),
        ({"libraries": ["libnowhere.so.9"]}, "libnowhere.so.9 is missing"),
    ],
)
def test_a_foreign_machine_is_named_before_anything_is_written(kit, target, changes, word):
    if changes.keys() & {"cpu"} and not Path("/proc/cpuinfo").exists():
        pytest.skip("this system doesn't tell the processor's instruction sets")
    alter(kit, lambda values: values["machine"].update(changes))
    refused(kit, target, word)


PATHS = ["/etc/x", "../x", "a/../../x", "C:/x", "C:x", "a\\..\\x", "", "a//b", "./a", "a/", "a\0b"]


@each("path", PATHS)
def test_no_path_leads_out_of_the_target(path):
    with pytest.raises(Refused):
        safe(path)


@pytest.mark.slow
@pytest.mark.parametrize("path", ["../../evil", "/evil"])
def test_a_manifest_with_a_path_out_of_the_target_is_refused(kit, target, path):
    alter(kit, lambda values: values["files"][0].update(path=path))
    refused(kit, target, "leads out of the target")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["path", "link"])
def test_an_archive_with_more_than_its_manifest_is_refused(kit, target, kind):
    """Someone who can make the hashes fit still can't write beside the target."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        info = tarfile.TarInfo("../evil" if kind == "path" else "rung.toml")
        if kind == "link":
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)
    import hashlib

    piece = content.getvalue()
    (kit / "part-001.tar").write_bytes(piece)
    part = {"name": "part-001.tar", "size": len(piece), "sha256": hashlib.sha256(piece).hexdigest()}
    alter(kit, lambda values: values.update(parts=[part]))
    refused(kit, target, "leads out of the target" if kind == "path" else "not an ordinary file")


@pytest.mark.parametrize("path", ["../../evil.py", "/evil.py", "x-1.0.data/scripts/../../../evil"])
def test_a_wheel_with_a_path_out_of_the_environment_is_refused(tmp_path, path):
    with pytest.raises(Refused, match="leads out"):
        unzip(make_wheel(tmp_path, "x", "1.0", {path: "evil"}), tmp_path / "environment")
    assert not list(tmp_path.rglob("evil*"))


def test_a_wheel_with_a_link_is_refused(tmp_path):
    path = tmp_path / "x-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        info = zipfile.ZipInfo("link")
        info.external_attr = 0o120777 << 16
        wheel.writestr(info, "/etc")
    with pytest.raises(Refused, match="not an ordinary file"):
        unzip(path, tmp_path / "environment")


def test_scripts_and_data_of_a_wheel_go_where_the_specification_says(tmp_path):
    files = {"x-1.0.data/scripts/tool": "#!python\nprint(1)\n", "x-1.0.data/data/share/x.txt": "x", "x.py": ""}
    unzip(make_wheel(tmp_path, "x", "1.0", files), tmp_path / "environment")
    tool = tmp_path / "environment" / "bin" / "tool"
    assert os.access(tool, os.X_OK)
    assert "python" in tool.read_text().splitlines()[1]
    assert (tmp_path / "environment" / "share" / "x.txt").read_text() == "x"
    assert (next((tmp_path / "environment" / "lib").iterdir()) / "site-packages" / "x.py").exists()


@pytest.mark.slow
def test_the_next_kit_takes_the_weights_of_the_one_before(kit, next_kit, target):
    refused(next_kit, target, "--base")
    run_installer(kit, "--target", target)
    ended = run_installer(next_kit, "--target", target)
    assert ended.returncode == 0, ended.stderr
    assert launch(target) == "rung 2.0"


@pytest.mark.slow
def test_the_next_kit_can_take_the_weights_from_the_folder_of_its_base(kit, next_kit, target):
    ended = run_installer(next_kit, "--target", target, "--base", kit)
    assert ended.returncode == 0, ended.stderr
    assert len(list((target / "models" / "blobs").iterdir())) == 2


@pytest.mark.slow
def test_rolling_back_puts_the_version_before_in_force_and_uninstalling_leaves_only_what_was_not_installed(
    kit, next_kit, target
):
    """Two installations take a second each, so one pair of them serves both."""
    target.mkdir()
    (target / "mine.txt").write_text("mine")
    assert run_installer(kit, "--target", target, "--rollback").returncode == 1
    run_installer(kit, "--target", target)
    (target / "models" / "blobs" / "sha256-mine.gguf").write_text("mine")
    run_installer(next_kit, "--target", target)
    assert run_installer(next_kit, "--target", target, "--rollback").returncode == 0
    assert launch(target) == "rung 1.0"
    assert run_installer(kit, "--target", target, "--rollback").returncode == 1
    assert launch(target) == "rung 1.0"
    run_installer(next_kit, "--target", target)
    assert launch(target) == "rung 2.0"
    assert run_installer(kit, "--target", target, "--uninstall").returncode == 0
    assert tree(target) == {"mine.txt": b"mine", "models/blobs/sha256-mine.gguf": b"mine"}
    assert run_installer(kit, "--target", target, "--uninstall").returncode == 1


@pytest.mark.slow
def test_weights_that_were_there_before_stay_after_uninstalling(kit, installed_once, target):
    blob = next(file for file in read_manifest(kit).files if file.kind == "weights")
    content = (installed_once / blob.path).read_bytes()
    (target / blob.path).parent.mkdir(parents=True)
    (target / blob.path).write_bytes(content)
    run_installer(kit, "--target", target)
    run_installer(kit, "--target", target, "--uninstall")
    assert tree(target) == {blob.path: content}


@pytest.mark.slow
def test_uninstalling_removes_a_target_that_holds_nothing_else(kit, installed):
    run_installer(kit, "--target", installed, "--uninstall")
    assert not installed.exists()


@pytest.mark.slow
def test_a_rung_that_does_not_start_is_not_put_in_force(site, kit, target):
    run_installer(kit, "--target", target)
    site.wheel("helper", "3.0", {"helper.py": "VERSION = 3"})
    site.wheel(
        "rung",
        "9.9",
        {
            "rungs.py": "def main(): raise SystemExit('broken')",
            "INFO/entry_points.txt": "[console_scripts]\nrung=rungs:main",
        },
        ("helper", "llama-cpp-python"),
    )
    broken = site.kit("broken").path
    before = tree(target)
    ended = run_installer(broken, "--target", target)
    assert ended.returncode == 1
    assert "broken" in ended.stderr
    assert tree(target) == before


def test_two_installations_at_once_do_not_mix(kit, target):
    import fcntl

    target.mkdir()
    with (target / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ended = run_installer(kit, "--target", target)
    assert ended.returncode == 1
    assert "another installation" in ended.stderr


@pytest.mark.slow
def test_an_old_python_is_named_and_no_syntax_error(kit, target):
    names = (shutil.which(name) for name in ("python3.6", "python3.7", "python3.8", "python3.9"))
    old = next((it for it in names if it and subprocess.run([it, "-c", ""], capture_output=True).returncode == 0), None)
    if old is None:
        pytest.skip("no Python older than 3.11 is here")
    ended = run_installer(kit, "--target", target, python=old)
    assert "start install.py with python" in ended.stderr
    assert not target.exists()


@pytest.mark.proof
@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_the_version_before_working(kit, next_kit, target):
    run_installer(kit, "--target", target)
    command = [sys.executable, "-I", str(next_kit / "install.py"), "--target", str(target)]
    started = time.monotonic()
    subprocess.run(command, capture_output=True, check=True)
    whole = time.monotonic() - started
    run_installer(kit, "--target", target, "--rollback")
    newer = read_manifest(next_kit).version
    rng = random.Random(11)
    for _ in range(30):
        shutil.rmtree(target / "versions" / newer, ignore_errors=True)
        (target / "current").write_text(read_manifest(kit).version + "\n")
        with subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True) as process:
            time.sleep(rng.uniform(0, whole))
            os.killpg(process.pid, signal.SIGKILL)
        in_force = (target / "current").read_text().split()[0]
        assert launch(target) == ("rung 2.0" if in_force == newer else "rung 1.0")
    assert run_installer(next_kit, "--target", target).returncode == 0
    assert launch(target) == "rung 2.0"
    assert run_installer(kit, "--target", target, "--uninstall").returncode == 0
    assert not target.exists()


@pytest.mark.proof
@pytest.mark.slow
def test_a_kill_at_any_moment_of_a_first_installation_leaves_nothing_that_cannot_be_removed(kit, target):
    command = [sys.executable, "-I", str(kit / "install.py"), "--target", str(target)]
    rng = random.Random(12)
    for _ in range(10):
        with subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True) as process:
            time.sleep(rng.uniform(0, 0.6))
            os.killpg(process.pid, signal.SIGKILL)
        if (target / "versions").exists():
            assert run_installer(kit, "--target", target, "--uninstall").returncode == 0
            assert not target.exists()
        shutil.rmtree(target, ignore_errors=True)


@pytest.mark.slow
def test_a_doctor_that_never_ends_is_ended_with_what_it_started(tmp_path, monkeypatch):
    monkeypatch.setattr(install, "LONGEST_DOCTOR", 1.0)
    starter = tmp_path / "bin" / "rung"
    starter.parent.mkdir()
    starter.write_text("#!/bin/sh\nsleep 600 &\necho $! > child\nwait\n")
    starter.chmod(0o755)
    manifest = SimpleNamespace(sha256="0" * 64)
    with pytest.raises(Refused, match="`rung doctor` of the installed version was not done"):
        install._accept(install.Tree(tmp_path), manifest)
    child = int((tmp_path / "child").read_text())
    end = time.monotonic() + 10
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < end
        time.sleep(0.02)
    assert not (tmp_path / "acceptance.json").exists()


def test_a_target_in_nobodys_home_is_a_sentence(kit):
    ended = run_installer(kit, "--target", "~nobody-of-this-name/x", python=BARE)
    assert ended.returncode == 1
    assert "--target ~nobody-of-this-name/x" in ended.stderr
    assert "Traceback" not in ended.stderr
