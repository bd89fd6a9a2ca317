"""`rung init`: which ladder for which machine, and the file that comes of it."""

from __future__ import annotations

import dataclasses
import json
import shlex
import subprocess
import sys

import pytest

from rung.cli.init import render
from rung.config import load
from rung.errors import ConfigError, TierUnavailable
from rung.machine.choosing import Hardware, choose
from rung.store import Listed, ModelFile, models, user_store
from rung.store.ladders import ladders
from rung.tiers.llama.devices import Device

GIB = 1 << 30
LAPTOP = Hardware("Linux x86_64", 4, 6 * GIB, 8 * GIB, "this machine")


@pytest.fixture
def listed(tmp_path, monkeypatch):
    """The catalogue with nothing of it here."""
    monkeypatch.setenv("RUNG_MODELS_DIR", str(tmp_path / "models"))
    return models()


def pick(machine, listed, **options):
    return choose(machine, listed, ladders(user_store().catalogue), **options)


def names(choice):
    return [it.model.name for it in choice.models]


def with_gpu(gib: float) -> Hardware:
    gpu = Device("CUDA0", 'a "card"\n[[tier]]', "gpu", int(gib * GIB), int(gib * GIB))
    return dataclasses.replace(LAPTOP, gpus=(gpu,))


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        (dataclasses.replace(LAPTOP, free=GIB // 2), ["smollm2-135m"]),
        (dataclasses.replace(LAPTOP, free=int(1.3 * GIB)), ["smollm2-135m", "qwen2.5-coder-0.5b"]),
        (dataclasses.replace(LAPTOP, free=3 * GIB), ["smollm2-135m", "qwen2.5-coder-1.5b"]),
        (LAPTOP, ["qwen3.5-0.8b", "qwen3.5-4b"]),
        (dataclasses.replace(LAPTOP, free=13 * GIB), ["qwen3.5-2b", "gemma-4-e4b"]),
        (with_gpu(11), ["qwen3.5-4b", "qwen3.5-9b"]),
        (with_gpu(15), ["qwen3.5-4b", "gemma-4-12b"]),
    ],
    ids=["half a GiB", "1.3 GiB", "3 GiB", "8 GB", "16 GB", "12 GB GPU", "16 GB GPU"],
)
def test_a_machine_is_given_what_fits_into_its_free_memory(listed, machine, expected):
    assert names(pick(machine, listed)) == expected


def test_a_machine_on_which_nothing_fits_is_told(listed):
    with pytest.raises(TierUnavailable, match=r"300 MB of memory are free .* needs 477 MB; free some memory"):
        pick(dataclasses.replace(LAPTOP, free=300_000_000), listed)


def test_every_ladder_is_made_of_free_models_of_the_catalogue_and_grows(listed):
    catalogue = user_store().catalogue
    known = ladders(catalogue)
    assert [it.memory for it in known] == sorted(it.memory for it in known)
    for ladder in known:
        entries = [catalogue[name] for name in ladder.models]
        assert {entry.licence for entry in entries} == {"Apache-2.0"}
        assert [entry.size for entry in entries] == sorted(entry.size for entry in entries)
        assert sum(entry.size for entry in entries) < ladder.bytes


def test_a_ladder_of_an_unknown_model_is_refused(tmp_path):
    path = tmp_path / "ladders.toml"
    path.write_text('[[ladder]]\nmachine = "m"\nmodels = ["smolm2-135m"]\nmemory = 1\n')
    with pytest.raises(ConfigError, match="did you mean 'smollm2-135m'"):
        ladders(user_store().catalogue, path)


@pytest.mark.weights
def test_what_is_here_comes_first_as_far_as_it_fits(weights):
    """With three here: the smallest, and the largest beside it. What would suit better is said."""
    here = {name: weights(name) for name in ("smollm2-135m", "qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b")}
    listed = [
        Listed(it.model, ModelFile(it.model.name, path, path.stat().st_size) if path else None)
        for it in models()
        for path in [here.get(it.model.name)]
    ]
    choice = pick(LAPTOP, listed)
    assert names(choice) == ["smollm2-135m", "qwen2.5-coder-1.5b"]
    assert "here already" in choice.reason
    assert "qwen3.5-0.8b, then qwen3.5-4b" in choice.better
    assert names(pick(dataclasses.replace(LAPTOP, free=int(1.3 * GIB)), listed)) == [
        "smollm2-135m",
        "qwen2.5-coder-0.5b",
    ]
    assert names(pick(dataclasses.replace(LAPTOP, free=GIB // 2), listed)) == ["smollm2-135m"]
    assert names(pick(LAPTOP, listed, best=True)) == ["qwen3.5-0.8b", "qwen3.5-4b"]


@pytest.mark.parametrize("machine", [LAPTOP, with_gpu(15)], ids=["laptop", "a card with a strange name"])
def test_the_file_can_be_read_and_says_what_was_never_tested(listed, tmp_path, machine):
    path = tmp_path / "rung.toml"
    choice = pick(machine, listed)
    path.write_text(render(machine, choice), encoding="utf-8")
    tiers = load(path).tiers.value
    assert [table.settings["model"] for table in tiers] == names(choice)
    text = path.read_text(encoding="utf-8")
    assert text.count("tested = false") == 3
    assert f"rung models pull {' '.join(names(choice))}" in text


@pytest.mark.slow
def test_with_no_model_no_config_and_no_network_a_file_is_written_that_loads(program):
    done = program("init", "--json", RUNG_OFFLINE="1")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["pull"].startswith("rung models pull ")
    assert told["bytes"] == sum(tier["size"] for tier in told["tiers"])
    shown = json.loads(program("config", "show", "--json").stdout)["values"]
    assert shown["tier.small.model"]["value"] == told["tiers"][0]["model"]
    assert program("doctor", "--json").stdout.startswith(b"{")


@pytest.mark.slow
def test_a_file_that_is_there_is_replaced_only_by_force(program):
    path = program.work / "rung.toml"
    path.write_text("# mine\n")
    done = program("init")
    assert (done.returncode, done.stdout, path.read_text()) == (2, b"", "# mine\n")
    assert b"--force" in done.stderr
    done = program("init", "--force")
    assert (done.returncode, done.stdout.decode().strip()) == (0, "rung.toml")
    assert b"rung models pull" in done.stderr
    assert "# mine" not in path.read_text()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="sets a limit on address space")
def test_a_limit_on_memory_counts(program):
    """Of three GB of address space the interpreter itself has some."""
    command = f"ulimit -v 3000000; exec {shlex.join(program.command)} init --json"
    done = subprocess.run(
        ["sh", "-c", command], cwd=program.work, env=program.env, capture_output=True, timeout=60, check=False
    )
    told = json.loads(done.stdout)
    assert told["machine"]["free"] < 3_100_000_000
    assert told["tiers"][0]["model"] == "smollm2-135m"


@pytest.mark.slow
def test_a_file_that_cannot_be_written_is_said_so(program):
    done = program("init", "--output", "nowhere/rung.toml")
    assert done.returncode == 2
    assert b"nowhere" in done.stderr
    assert b"can't be written: no such file or directory" in done.stderr
