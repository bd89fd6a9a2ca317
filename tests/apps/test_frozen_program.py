"""A program of twenty lines, frozen: it answers where there is no Python and no network, and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import time

import pytest

from apps.conftest import bare

pytestmark = [
    pytest.mark.surfaces,
    pytest.mark.skipif(os.name != "posix", reason="signals are POSIX, and PyInstaller on Windows was not tried"),
]
KINDS = ("onedir", "onefile")
MAIL = "We have booked your flight to Lisbon, seat 12A, departing on Monday.\n"


@pytest.mark.parametrize("kind", KINDS)
def test_it_answers_without_python_and_network_from_a_read_only_folder(frozen, shut, home, tmp_path, kind):
    program = frozen("mails", kind)
    before = [*program.parent.rglob("*")]
    program.parent.chmod(0o555)
    try:
        done = subprocess.run(
            [*shut, program, home],
            input=MAIL * 2,
            capture_output=True,
            text=True,
            env=bare(tmp_path),
            cwd="/",
            check=False,
            timeout=300,
        )
    finally:
        program.parent.chmod(0o755)
    assert done.stderr == ""
    ready, *answers = done.stdout.splitlines()
    assert ready.startswith("ready")
    assert len(answers) == 2
    assert set(answers) <= {"food", "travel", "work"}
    assert done.returncode == 0
    assert [*program.parent.rglob("*")] == before, "the app's own folder is left as it is"
    assert [*(tmp_path / "tmp").iterdir()] == []


def test_without_a_model_it_says_what_to_do(frozen, shut, tmp_path):
    done = subprocess.run(
        [*shut, frozen("mails", "onedir"), tmp_path / "empty"],
        capture_output=True,
        text=True,
        env=bare(tmp_path),
        check=False,
    )
    assert done.returncode == 1
    assert "There is no model yet: 'smollm2-135m' could not be fetched" in done.stderr
    assert "packages = true" in done.stderr
    assert "Traceback" not in done.stderr


def test_one_that_forgets_the_line_is_told_which_line(frozen, home, tmp_path):
    done = subprocess.run(
        [frozen("mails", "onedir"), home, "forgetful"],
        capture_output=True,
        text=True,
        env=bare(tmp_path),
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert "never called rung.freeze_support(); call it first in the app's main script" in done.stderr


def test_of_twenty_killed_apps_nothing_is_left_after_two_seconds(frozen, start, home, tmp_path):
    """The launcher and the app in turn, at any moment between the load and the middle of an answer."""
    program, left = frozen("mails", "onefile"), {}
    for number in range(20):
        run = start(program, home)
        assert len(run.family) == 3, "launcher, app and worker"
        if number % 4 > 1:
            run.process.stdin.write(MAIL)
            run.process.stdin.flush()
            time.sleep(0.05 * (number % 3))
        if still := run.killed(launcher=number % 2 == 1):
            left[number] = still
    assert left == {}
    assert [*(tmp_path / "tmp").iterdir()] == []


def test_a_stopped_and_continued_app_goes_on(frozen, start, home):
    """As a machine does that sleeps and wakes: everything stands still, and the clocks have run on."""
    run = start(frozen("mails", "onedir"), home)
    for process in run.family:
        process.suspend()
    time.sleep(6)
    for process in run.family:
        process.resume()
    out, _ = run.process.communicate(MAIL, timeout=120)
    assert out.strip() in ("food", "travel", "work")


def test_two_instances_at_once_answer_both(frozen, start, home):
    program = frozen("mails", "onedir")
    both = [start(program, home), start(program, home)]
    assert len({run.family[-1].pid for run in both}) == 2
    for run in both:
        out, _ = run.process.communicate(MAIL, timeout=120)
        assert out.strip() in ("food", "travel", "work")


def test_a_model_file_that_is_deleted_while_the_app_runs_serves_it_to_the_end(frozen, start, home):
    run = start(frozen("mails", "onedir"), home)
    shutil.rmtree(home / "models")
    out, _ = run.process.communicate(MAIL, timeout=120)
    assert out.strip() in ("food", "travel", "work")
