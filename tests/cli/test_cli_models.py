"""`rung models`, as far as it needs no network."""

from __future__ import annotations

import json
import subprocess
import sys

from rung.store import user_store

NAME = "smollm2-135m"


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
    assert (done.returncode, line.split()[:5]) == (0, [NAME, "98", "MB", "Apache-2.0", "yes"])
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
    assert b"rung models pull" in done.stderr


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
