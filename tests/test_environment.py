"""How the scripts build llama.cpp and run the tests."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"
pytestmark = pytest.mark.skipif(os.name == "nt", reason="a compiler that is a shell script")


@pytest.fixture
def environment(tmp_path):
    spec = importlib.util.spec_from_file_location("environment_of_scripts", SCRIPTS / "environment.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.CPUINFO = tmp_path / "cpuinfo"
    return module


@pytest.mark.parametrize(
    ("flags", "version", "options"),
    [
        ("avx2 amx_tile amx_int8", "12.2.0", True),
        ("avx2 amx_tile amx_int8", "14.1.0", False),
        ("avx2 amx_tile amx_int8", "", False),
        ("avx2", "12.2.0", False),
    ],
)
def test_only_an_older_gcc_on_a_processor_with_tiles_is_given_options_that_keep_its_stores(
    environment, tmp_path, monkeypatch, flags, version, options
):
    environment.CPUINFO.write_text(f"flags\t\t: fpu {flags}\n")
    compiler = tmp_path / "c++"
    compiler.write_text(f"#!/bin/sh\necho {version}\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", f"{compiler} -pipe")
    monkeypatch.setenv("CXXFLAGS", "-g")
    wanted = f"-g {environment.KEEPS_STORES}" if options else "-g"
    assert environment.built()["CXXFLAGS"] == wanted


def test_a_system_that_does_not_tell_its_flags_is_given_none(environment, monkeypatch):
    monkeypatch.delenv("CXXFLAGS", raising=False)
    assert "CXXFLAGS" not in environment.built()


def wheel_of_llama(folder: Path, tag: str) -> None:
    with zipfile.ZipFile(folder / f"llama_cpp_python-0.3.99-{tag}.whl", "w") as wheel:
        info = "llama_cpp_python-0.3.99.dist-info"
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: llama-cpp-python\nVersion: 0.3.99\n")
        wheel.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
        wheel.writestr(f"{info}/RECORD", "")


@pytest.mark.slow
@pytest.mark.parametrize(("tag", "found"), [("py3-none-any", True), ("cp311-cp311-win_arm64", False)])
def test_a_build_that_somebody_else_made_is_found_where_the_person_says(environment, tmp_path, monkeypatch, tag, found):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    wheel_of_llama(tmp_path, tag)
    assert not environment.ready_made(sys.executable, [])
    assert environment.ready_made(sys.executable, environment.places(str(tmp_path))) is found


def test_what_is_neither_a_folder_nor_an_address_is_not_taken_for_one(environment, tmp_path):
    assert environment.places(None) == []
    assert environment.places("https://wheels.example.org/cpu") == [
        "--extra-index-url",
        "https://wheels.example.org/cpu",
    ]
    with pytest.raises(environment.NotReady, match="neither a folder nor an address"):
        environment.places(str(tmp_path / "missing"))


@pytest.fixture
def suite(monkeypatch):
    """`scripts/test.py` as a module."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    spec = importlib.util.spec_from_file_location("test_of_scripts", SCRIPTS / "test.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_the_surfaces_lack_is_installed_or_named(suite, monkeypatch):
    ran = []
    monkeypatch.setattr(suite, "run", lambda command, otherwise: ran.append(command))
    monkeypatch.setattr(suite.shutil, "which", {"xvfb-run": "/usr/bin/xvfb-run", "apt-get": "/usr/bin/apt-get"}.get)
    suite.install({"xvfb-run": "xvfb"})
    assert ran == []
    suite.install({"xvfb-run": "xvfb", "chromium": "chromium"})
    assert [command[1] for command in ran] == ["update", "install"]
    assert ran[-1][-1] == "chromium"
    monkeypatch.setattr(suite.shutil, "which", {}.get)
    with pytest.raises(suite.NotReady, match="install what Debian calls chromium xvfb"):
        suite.install({"xvfb-run": "xvfb", "chromium": "chromium"})


@pytest.mark.parametrize(
    ("codes", "rest", "failed"),
    [
        ([0, 0, 5], [], []),
        ([0, 1, 5], [], ["two"]),
        ([5, 0, 5], ["-k", "kill"], []),
        ([5, 5, 5], ["-k", "no such test"], ["one", "two", "three"]),
    ],
)
def test_a_stage_may_have_no_test_but_not_all_of_them(suite, monkeypatch, codes, rest, failed):
    left = iter(codes)
    monkeypatch.setattr(suite, "STAGES", dict.fromkeys(("one", "two", "three"), ((), "slow")))
    monkeypatch.setattr(suite.subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=next(left)))
    assert suite.test("python", ["one", "two", "three"], rest, proofs=True) == failed


def test_only_everything_runs_proofs_and_the_surfaces_beside_the_rest(suite, monkeypatch):
    ran = {}
    monkeypatch.setattr(suite, "ensure", lambda extra: "python")
    monkeypatch.setattr(suite, "install", lambda *_: None)
    monkeypatch.setattr(suite, "lint", lambda *_: [])

    def run(command, **_):
        if "pytest" in command:
            ran.setdefault(words, []).append(command[command.index("-m", 2) + 1])
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(suite.subprocess, "run", run)
    for words in ("", "--fast", "--surfaces", "--everything"):
        assert suite.body(words.split()) == 0
    whole, fast = {name: chosen for name, (_, chosen) in suite.STAGES.items()}, "fast tests"
    assert ran["--everything"] == [chosen for name, chosen in whole.items() if name != fast]
    assert ran["--surfaces"] == [whole["surfaces"]]
    assert ran["--fast"] == [f"{whole[fast]} and not proof"]
    expected = [f"{chosen} and not proof" for name, chosen in whole.items() if name not in (fast, "surfaces")]
    assert ran[""] == expected
    with pytest.raises(suite.NotReady, match="--fast and --everything exclude each other"):
        suite.body(["--everything", "--fast"])


def test_tests_write_into_memory_where_there_is_room_and_nothing_is_left(suite, tmp_path, monkeypatch):
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setattr(suite, "MEMORY", tmp_path)
    monkeypatch.setattr(suite, "ROOM", 0)
    with suite.scratch() as named:
        assert Path(named["TMPDIR"]).parent == tmp_path
        (Path(named["TMPDIR"]) / "left").touch()
    assert [*tmp_path.iterdir()] == []
    monkeypatch.setattr(suite, "ROOM", 1 << 80)
    with suite.scratch() as named:
        assert named == {}
    monkeypatch.setattr(suite, "ROOM", 0)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with suite.scratch() as named:
        assert named == {}, "whoever runs the tests has said where"
    monkeypatch.delenv("TMPDIR")
    monkeypatch.setattr(suite, "MEMORY", tmp_path / "absent")
    with suite.scratch() as named:
        assert named == {}


def test_a_check_of_the_source_that_fails_is_told_with_what_it_said(suite, monkeypatch):
    checks = {"good": ("-c", "print('fine')"), "bad": ("-c", "import sys; sys.exit('line 3 is wrong')")}
    monkeypatch.setattr(suite, "CHECKS", checks)
    assert suite.lint(sys.executable, [*checks]) == [("good", "fine\n", True), ("bad", "line 3 is wrong\n", False)]


@pytest.mark.slow
def test_where_nothing_may_be_skipped_a_test_that_would_be_fails(tmp_path):
    path = tmp_path / "test_skips.py"
    path.write_text("import pytest\ndef test_one(): pytest.skip('no window')\n")
    line = [sys.executable, "-m", "pytest", "-q", "-p", "conftest", "-p", "no:cacheprovider", str(path)]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run([*line, "--no-skips"], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, "1 failed" in done.stdout) == (1, True), done.stdout + done.stderr
    assert "it would be skipped: Skipped: no window" in done.stdout
