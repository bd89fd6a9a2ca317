"""docs/catalogue.md, as somebody would follow it: a model of their own in the catalogue, pulled by name, and asked."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from rung import ConfigError, ModelNotFound
from rung.store import resolve, user_store
from rung.store.entries import own_catalogue

PAGE = (Path(__file__).parents[2] / "docs" / "catalogue.md").read_text(encoding="utf-8")
SECTION = PAGE.split("## A model of your own in the catalogue")[1].split("\n## ")[0]
(ENTRY,) = re.findall(r"```toml\n(.*?)```", SECTION, re.DOTALL)
(COMMANDS,) = re.findall(r"```console\n(.*?)```", SECTION, re.DOTALL)
CONFIG = """\
[[tier]]
name = "small"
kind = "llama"
model = "house-invoices"
"""


@pytest.fixture
def model(weights) -> Path:
    """Looked up before the test has a home of its own."""
    return weights("smollm2-135m")


@pytest.fixture
def own(tmp_path, monkeypatch) -> Path:
    """The folder of a user's own entries, empty."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    folder = own_catalogue()
    assert tmp_path in folder.parents
    folder.mkdir(parents=True)
    return folder


@pytest.mark.weights
def test_a_model_of_ones_own_is_listed_pulled_and_asked_by_its_name(model, own, tmp_path):
    share = tmp_path / "share"
    share.mkdir()
    (share / "ours.gguf").symlink_to(model)
    (own / "house-invoices.toml").write_text(ENTRY.replace("/mnt/share/models", str(share)))
    (tmp_path / "rung.toml").write_text(CONFIG)
    said = []
    for line in COMMANDS.splitlines():
        done = subprocess.run(
            [sys.executable, "-m", *shlex.split(line, comments=True)],
            cwd=tmp_path,
            env={**os.environ, "RUNG_MODELS_DIR": str(tmp_path / "store")},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, (line, done.stderr)
        said.append(done.stdout)
    listed, _, info, answer = said
    assert re.search(r"^house-invoices .*ours, for invoices", listed, re.MULTILINE)
    assert "135 million" in info
    assert answer.strip() in ("yes", "no")


def test_an_entry_with_the_name_of_a_shipped_model_is_refused(own):
    (own / "smollm2-135m.toml").write_text(ENTRY.replace("house-invoices", "smollm2-135m"))
    with pytest.raises(ConfigError, match="already") as refused:
        user_store()
    assert "another name" in refused.value.hint


def test_an_entry_that_is_broken_is_named(own):
    (own / "house-invoices.toml").write_text(ENTRY.replace("sha256", "sha265"))
    with pytest.raises(ConfigError, match=r"house-invoices\.toml.*sha265"):
        user_store()


def test_without_the_folder_only_shipped_models_are_known(own):
    own.rmdir()
    assert "smollm2-135m" in user_store().catalogue
    with pytest.raises(ModelNotFound, match="house-invoices"):
        resolve("house-invoices")
