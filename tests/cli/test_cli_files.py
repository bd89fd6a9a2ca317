"""Whatever an option, a variable or the working folder names, a command ends in time and with a sentence.

| kind | tests |
|---|---|
| 23, a file that isn't one | `test_what_is_not_an_ordinary_file_...`, `test_a_project_file_...`, `test_a_model_...` |
| 23, a file that is too large or never ends | the same, and `test_a_prompt_...` |
| 23, a pipe of a shell | `test_a_pipe_is_read_to_its_end_...`, `test_a_pipe_that_nobody_writes_to_...` |
| 23, what a parser can be made to suffer | `test_toml_...`, `test_a_schema_that_...` |
| 23, a file system that doesn't answer | `test_a_file_system_that_does_not_answer_...` |
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from rung import files
from rung.cli.app import invoke
from rung.cli.interrupt import Interrupts
from rung.errors import ConfigError
from rung.files import read_bounded
from rung.parsing import parse_json, parse_toml

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="has no such pipes and devices")

TIER = '[[tier]]\nname = "small"\nkind = "llama"\nmodel = "none.gguf"\n'
PATIENCE = 60
"""Seconds after which a command counts as hanging, on a busy machine."""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder with one of each of what isn't a file."""
    home, work = tmp_path / "home", tmp_path / "home" / "work"
    (work / ".git").mkdir(parents=True)
    monkeypatch.chdir(work)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "data"))
    monkeypatch.setenv("RUNG_MODELS_DIR", str(home / "models"))
    monkeypatch.delenv("RUNG_CONFIG", raising=False)
    (home / "ok.toml").write_text(TIER)
    nothing = open(os.devnull)  # noqa: PTH123, SIM115
    monkeypatch.setattr(sys, "stdin", nothing)
    os.mkfifo("pipe")
    before = threading.enumerate()
    with open("huge", "wb") as file:  # noqa: PTH123
        file.truncate(1 << 40)
    Path("folder").mkdir()
    Path("loop").symlink_to("loop")
    Path("dangling").symlink_to("nowhere")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind("socket")
    yield home
    # who was left waiting at the pipe, or comes there yet, would tell the terminal of a later test so
    end = time.monotonic() + PATIENCE
    while left := [thread for thread in threading.enumerate() if thread not in before]:
        assert time.monotonic() < end, f"{left} outlive the test"
        os.close(os.open(work / "pipe", os.O_RDWR))
        left[0].join(0.05)
    nothing.close()


NAMED = ["pipe", "huge", "folder", "loop", "dangling", "socket", "missing", "/dev/zero", "/dev/tty", "~no-such/x"]


def command(*arguments):
    """A command in this process, on a thread of its own: its exit code, and that it came at all."""
    codes = []
    thread = threading.Thread(target=lambda: codes.append(invoke(arguments, Interrupts())), daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert codes, "the command hangs"
    return codes[0]


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("option", ["--config", "--schema", "--file"])
def test_what_is_not_an_ordinary_file_is_a_sentence_wherever_it_is_named(here, capfd, option, name):
    if option == "--file" and name == "pipe":
        pytest.skip("a pipe is one of the things that a prompt may come from")
    config = [] if option == "--config" else ["--config", str(here / "ok.toml")]
    assert command("ask", "x", option, name, *config) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("rung: ")
    assert err.count("\n") == 1
    assert ("is larger than the" if name == "huge" else "can't be read: ") in err


@pytest.mark.parametrize("name", ["pipe", "huge", "loop", "dangling", "/dev/zero"])
def test_a_project_file_that_is_not_an_ordinary_file_is_not_passed_over(here, capfd, name):
    Path("rung.toml").symlink_to(name)
    assert command("ask", "x") == 2
    assert "rung: the configuration" in capfd.readouterr().err


def test_a_folder_called_like_a_project_file_is_a_folder(here, capfd):
    Path("rung.toml").mkdir()
    assert command("config", "show", "--json") == 0
    assert json.loads(capfd.readouterr().out)["files"] == []


@pytest.mark.parametrize("variable", ["user file", "RUNG_CONFIG"])
@pytest.mark.parametrize("name", ["pipe", "huge", "dangling", "/dev/zero"])
def test_so_is_the_users_own_file(here, capfd, monkeypatch, variable, name):
    if variable == "RUNG_CONFIG":
        monkeypatch.setenv("RUNG_CONFIG", name)
    else:
        (here / "config" / "rung").mkdir(parents=True)
        (here / "config" / "rung" / "rung.toml").symlink_to(Path(name).absolute())
    assert command("ask", "x") == 2
    assert "the configuration" in capfd.readouterr().err


@pytest.mark.parametrize("how", ["--config", "RUNG_CONFIG"])
def test_the_null_device_stands_for_no_configuration(here, capfd, monkeypatch, how):
    if how == "RUNG_CONFIG":
        monkeypatch.setenv("RUNG_CONFIG", os.devnull)
        assert command("config", "show") == 0
    else:
        assert command("config", "show", "--config", os.devnull) == 0


@pytest.mark.parametrize("name", ["pipe", "/dev/zero", "huge"])
def test_a_record_of_trust_that_is_not_a_file_trusts_nothing(here, capfd, name):
    Path("rung.toml").write_text('reach = "internet"\n' + TIER)
    (here / "data" / "rung").mkdir(parents=True)
    (here / "data" / "rung" / "trusted.json").symlink_to(Path(name).absolute())
    assert command("ask", "x") == 2
    assert "is not trusted" in capfd.readouterr().err


@pytest.mark.parametrize("name", ["pipe", "/dev/zero", "huge"])
def test_a_lock_that_is_not_a_file_is_a_sentence(here, capfd, name):
    (here / "rung.lock").symlink_to(Path(name).absolute())
    assert command("models", "verify", "--locked", "--config", str(here / "ok.toml")) == 2
    assert "the lock" in capfd.readouterr().err


@pytest.mark.parametrize("name", ["pipe", "/dev/zero", "folder", "socket"])
def test_a_model_that_is_not_a_file_is_not_there(here, capfd, name):
    Path("m.gguf").symlink_to(Path(name).absolute())
    (here / "ok.toml").write_text(TIER.replace("none.gguf", str(Path("m.gguf").absolute())))
    assert command("ask", "x", "--config", str(here / "ok.toml"), "--max-seconds", "30") == 4
    assert command("models", "import", "m.gguf") == 1
    assert command("models", "find", ".") == 0


@pytest.mark.parametrize("name", ["pipe", "/dev/zero", "huge"])
def test_a_record_of_the_store_that_is_not_a_file_is_none(here, capfd, name):
    (here / "models" / "names").mkdir(parents=True)
    (here / "models" / "names" / "mine.json").symlink_to(Path(name).absolute())
    assert command("models", "list", "--json") == 0
    assert "mine" not in capfd.readouterr().out


@pytest.mark.slow
def test_a_pipe_is_read_to_its_end_as_a_shell_makes_one_of_a_command(program):
    record = program.home / "record.json"
    text = f'[[tier]]\nname = "small"\nkind = "scripted"\nscript = ["fine"]\nrecord = {json.dumps(str(record))}\n'
    read, write = os.pipe()
    os.write(write, b"the material")
    os.close(write)
    command_ = [*program.command, "ask", "Sum up.", "--file", f"/dev/fd/{read}", "--config", program.config(text)]
    done = subprocess.run(
        command_, pass_fds=[read], capture_output=True, cwd=program.work, env=program.env, check=False
    )
    os.close(read)
    assert done.returncode == 0, done.stderr
    assert json.loads(record.read_text())["messages"] == [["user", "Sum up.\n\nthe material"]]


@pytest.mark.slow
def test_a_pipe_that_nobody_writes_to_is_named_and_given_up_at_the_deadline(here, capfd):
    line = ["ask", "x", "--file", "pipe", "--config", str(here / "ok.toml"), "--max-seconds", "1.5"]
    assert command(*line, "--json") == 3
    out, err = capfd.readouterr()
    assert (json.loads(out)["status"], json.loads(out)["reason"]) == ("unresolved", "deadline")
    waiting, end = err.splitlines()
    assert "waiting for the pipe pipe" in waiting
    assert "nothing was asked" in end
    assert "--max-seconds" in end


def test_several_files_follow_one_another_and_stdin_is_read_once(here, capfd):
    Path("a").write_text("A")
    assert command("ask", "--file", "-", "--file", "-", "--config", str(here / "ok.toml")) == 2
    assert "twice" in capfd.readouterr().err
    assert command("ask", "--file", "a", "--file", "missing", "--config", str(here / "ok.toml")) == 2
    assert "missing" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"caf\xe9", "not valid UTF-8: byte 3"),
        ("text".encode("utf-16"), "it is UTF-16"),
        ("text".encode("utf-16-le"), "contains a NUL (byte 1)"),
        (b"a\0b", "contains a NUL (byte 1)"),
    ],
    ids=["latin-1", "UTF-16", "UTF-16 without a mark", "NUL"],
)
def test_a_prompt_that_is_not_text_in_utf8_is_said_to_be_so(here, capfd, content, says):
    Path("prompt").write_bytes(content)
    assert command("ask", "--file", "prompt", "--config", str(here / "ok.toml")) == 2
    assert says in capfd.readouterr().err


@pytest.mark.slow
def test_a_file_system_that_does_not_answer_is_left_at_the_deadline(here, capfd, monkeypatch):
    """As a network share that is gone: the call into the system never returns."""
    never = threading.Event()
    monkeypatch.setattr(files, "_read", lambda *_: never.wait())
    try:
        line = ["ask", "x", "--config", str(here / "ok.toml"), "--max-seconds", "0.5"]
        assert command(*line) == 3
    finally:
        never.set()
    assert "reading the configuration took more than 0.5 s" in capfd.readouterr().err


def test_ctrl_c_ends_a_command_that_waits_for_a_pipe(here, capfd):
    interrupts, codes = Interrupts(), []
    line = ["ask", "x", "--file", "pipe", "--config", str(here / "ok.toml")]
    thread = threading.Thread(target=lambda: codes.append(invoke(line, interrupts)), daemon=True)
    thread.start()
    while not interrupts.tell():
        time.sleep(0.01)
    thread.join(PATIENCE)
    assert codes == [130]


# --- reading ---------------------------------------------------------------------------------------------------------


def test_what_can_not_be_a_path_is_a_sentence():
    with pytest.raises(ConfigError, match="can't be a path"):
        read_bounded("nul\0", 1, "the file")
    with pytest.raises(ConfigError, match="name too long"):
        read_bounded("x" * 5000, 1, "the file")


def test_no_more_is_read_than_the_limit(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    assert read_bounded(path, 100, "the file") == b"x" * 100
    with pytest.raises(ConfigError, match="larger than the 99 bytes"):
        read_bounded(path, 99, "the file")


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs a file without a size")
def test_a_file_without_a_size_is_bounded_too():
    assert b"Name:" in read_bounded("/proc/self/status", 1 << 20, "the file")
    with pytest.raises(ConfigError, match="larger than the 100 bytes"):
        read_bounded("/proc/self/smaps", 100, "the file")


def test_a_file_that_somebody_keeps_writing_to_is_not_read_by_halves(tmp_path, monkeypatch):
    path, real = tmp_path / "file", os.read
    path.write_bytes(b"old")

    def read(fd, size):
        piece = real(fd, size)
        with path.open("ab") as file:
            file.write(b"new")
        return piece

    monkeypatch.setattr(os, "read", read)
    with pytest.raises(ConfigError, match=r"changes while it is read|larger"):
        read_bounded(path, 1000, "the file")


def test_a_file_that_is_replaced_meanwhile_is_read_again(tmp_path, monkeypatch):
    path, real = tmp_path / "file", os.read
    path.write_bytes(b"old")
    once = iter([b"new content"])

    def read(fd, size):
        piece = real(fd, size)
        for content in once:
            path.write_bytes(content)
        return piece

    monkeypatch.setattr(os, "read", read)
    assert read_bounded(path, 1000, "the file") == b"new content"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_a_sentence(tmp_path):
    path = tmp_path / "file"
    path.touch(mode=0)
    with pytest.raises(ConfigError, match="permission denied"):
        read_bounded(path, 1, "the file")


# --- parsing ---------------------------------------------------------------------------------------------------------

TOML = {
    "nested arrays": "a = " + "[" * 20_000,
    "nested tables": "a = " + "{b = " * 20_000,
    "a dotted key": ".".join("a" * 300_000) + " = 1",
    "a dotted key in quotes": '."a"' * 200_000 + " = 1",
    "a dotted header": "[" + ".".join("a" * 300_000) + "]",
    "a dotted key with blanks": "a . " * 200_000 + "a = 1",
    "a number of a million digits": "a = " + "9" * 1_000_000,
    "a number beyond 64 bits": "a = [{b = 0x" + "f" * 100_000 + "}]",
    "a text that never ends": 'a = """' + '\\"""' * 200_000,
    "quotes without an end": '"' * 999_999,
    "apostrophes": "'" * 999_998,
    "a date that isn't one": "a = 2026-13-45",
    "a path of Windows": 'a = "C:\\models\\x"',
    "a NUL": "a = \0",
}


@pytest.mark.parametrize("kind", TOML)
def test_toml_that_would_keep_a_parser_busy_is_a_sentence_at_once(kind):
    began = time.monotonic()
    with pytest.raises(ConfigError, match=r"^f\.toml"):
        parse_toml(TOML[kind].encode(), "f.toml")
    assert time.monotonic() - began < 20


def test_a_path_of_windows_in_double_quotes_is_told_of_single_ones():
    with pytest.raises(ConfigError, match="single quotes"):
        parse_toml(TOML["a path of Windows"].encode(), "f.toml")


def test_toml_as_people_write_it_is_read_as_it_stands():
    text = '\ufeffa.b."c.d" = """x.y\r\n[[["""\r\n[t]\r\nn = [1.5, 2.5, -9223372036854775808]\r\nd = 2026-11-26\r\n'
    values = parse_toml(text.encode(), "f.toml")
    assert values["a"]["b"]["c.d"] == "x.y\n[[["
    assert values["t"]["n"] == [1.5, 2.5, -(1 << 63)]


JSON = {
    "nested arrays": b"[" * 100_000 + b"]" * 100_000,
    "nested objects": b'{"a":' * 100_000,
    "a key twice": b'{"type": "object", "type": "array"}',
    "NaN": b'{"minimum": NaN}',
    "Infinity": b'{"minimum": -Infinity}',
    "a number that becomes infinite": b'{"minimum": 1e999}',
    "a million digits": b'{"minimum": ' + b"9" * 1_000_000 + b"}",
    "UTF-16": '{"type": "object"}'.encode("utf-16"),
    "latin-1": b'{"title": "caf\xe9"}',
    "half of it": b'{"type": ',
    "nothing": b"",
    "a list": b"[1]",
}


@pytest.mark.parametrize("kind", JSON)
def test_a_schema_that_is_not_strict_json_is_a_sentence_that_names_the_file(here, capfd, kind):
    Path("s.json").write_bytes(JSON[kind])
    assert command("ask", "x", "--schema", "s.json", "--config", str(here / "ok.toml")) == 2
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("rung: s.json")]
    assert len(said) == 1


def test_a_byte_order_mark_is_left_out():
    assert parse_json(b'\xef\xbb\xbf{"a": "\\u00e9"}', "s.json") == {"a": "é"}
