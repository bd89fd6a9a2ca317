"""A kit carries the tasks beside its configuration."""

from __future__ import annotations

import pytest
from bundle_site import run_installer

from rung.bundle.comparing import diff
from rung.bundle.install import archive
from rung.bundle.verifying import verify
from rung.config import Places
from rung.errors import ConfigError
from rung.learn.learned import Learned
from rung.learn.making import make_task
from rung.learn.tasks import open_task


@pytest.fixture
def task(site):
    folder = site.root / "tasks" / "invoice"
    make_task(folder, {"prompt": "{text}", "check": "invoice_check:right"}, schema={"type": "object"})
    (folder / "invoice_check.py").write_text("def right(value, expected): return True\n")
    (folder / "data.jsonl").write_text('{"text": "private"}\n')
    Learned().write(folder)
    return folder


def packed(kit):
    return sorted(file.path for file in kit.manifest.files if file.path.startswith("tasks/"))


@pytest.mark.slow
def test_a_kit_has_what_a_task_needs_and_none_of_the_data_beside_it(site, task):
    kit = site.kit()
    names = ("invoice_check.py", "learned.json", "schema.json", "task.toml")
    assert packed(kit) == [f"tasks/invoice/{name}" for name in names]
    assert verify(kit.path)[1] == []
    with archive(kit.path, kit.manifest) as members:
        found = {file.path: source.read() for file, source in members if file.path.startswith("tasks/")}
    assert found["tasks/invoice/task.toml"] == (task / "task.toml").read_bytes()


@pytest.mark.slow
def test_a_difference_names_the_files_of_tasks(site, task):
    old = site.kit("old")
    (task / "task.toml").write_text((task / "task.toml").read_text() + "max_tokens = 9\n")
    make_task(site.root / "tasks" / "mood", {"prompt": "{text}"})
    assert diff(old.path, site.kit("new").path).files == (
        "tasks/invoice/task.toml changed",
        "tasks/mood/task.toml is new",
    )


def test_a_task_that_is_wrong_makes_no_kit(site, task):
    (task / "task.toml").write_text("promt = 1\n")
    with pytest.raises(ConfigError, match="unknown key 'promt'"):
        site.kit()


@pytest.mark.slow
def test_an_installed_kit_finds_its_tasks_beside_its_configuration(site, task, tmp_path, monkeypatch):
    kit, target = site.kit(), tmp_path / "target"
    done = run_installer(kit.path, "--target", target)
    (home,) = (target / "versions").iterdir()
    assert (home / "tasks" / "invoice" / "learned.json").is_file(), done.stderr
    monkeypatch.setenv("RUNG_CONFIG", str(home / "rung.toml"))
    assert Places.standard().user.parent == home
    assert open_task(home / "tasks" / "invoice", trusted=True).table.check == "invoice_check:right"
