"""Whatever comes from outside ends in a value or in a refusal; and the fuzzer that says so sees what it looks for.

The long run is `scripts/fuzz.py --minutes 30`.
"""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SCRIPTS = HERE.parent / "scripts"
TARGETS = ("answers", "schemas", "streams", "toml", "manifests", "gguf")


def fuzz(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPTS / "fuzz.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


def rows(done: subprocess.CompletedProcess[str]) -> dict[str, list[str]]:
    """The cells of the table, by target."""
    lines = [line.strip("| ").split(" | ") for line in done.stdout.splitlines()[2:]]
    return {name: cells for name, *cells in lines}


@pytest.mark.slow
def test_some_files_from_outside_are_read_or_refused(tmp_path):
    done = fuzz("--targets", "gguf,manifests", "--inputs", 20, "--seed", 23, "--out", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {target: cells[0] for target, cells in rows(done).items()} == {"gguf": "20", "manifests": "20"}


@pytest.mark.proof
@pytest.mark.slow
def test_a_minute_of_what_the_world_may_send_leads_to_nothing_else(tmp_path):
    # schemas are counted and not timed: one of them may take as long as a thousand of the others
    timed = fuzz(
        "--targets", ",".join(t for t in TARGETS if t != "schemas"), "--minutes", 1, "--seed", 23, "--out", tmp_path
    )
    counted = fuzz("--targets", "schemas", "--inputs", 40, "--seed", 23, "--out", tmp_path / "schemas")
    for done in (timed, counted):
        assert done.returncode == 0, done.stdout + done.stderr
    found = rows(timed) | rows(counted)
    assert {*found} == {*TARGETS}
    for target, (inputs, _, values, *_rest) in found.items():
        assert int(inputs.replace(",", "")) > 20, target
        assert 0 < int(values.rstrip("%")) < 100, f"{target}: some are right and some are wrong"


@pytest.mark.slow
def test_what_should_not_happen_is_found_and_its_smallest_form_is_kept(tmp_path):
    limits = ("--cpu-seconds", 0.2, "--mib", 60, "--warm-up", 1, "--reduce-seconds", 0.3, "--path", HERE)
    sinner, leaker = "sinner=fuzz_target:Sinner", "leaker=fuzz_target:Leaker"
    done = fuzz("--targets", f"{sinner},{leaker}", "--inputs", 9, "--seed", 66, "--out", tmp_path, *limits)
    assert done.returncode == 1, done.stderr
    for finding in (
        "exception: KeyError at fuzz_target.py",
        "hang: it doesn't end",
        "growth: it takes too much memory",
        "crash: SIGABRT",
        "crash: exit code 3",
        "reached: it connects to another machine",
        "broken: a promise",
    ):
        assert f"sinner: {finding}" in done.stderr
    assert "leaker: growth: it takes memory little by little" in done.stderr
    kept = {path.read_bytes().partition(b"\n")[2]: path for path in tmp_path.glob("*.case")}
    assert kept.keys() >= {b"foreign", b"look", b"break"}, "nothing is left that isn't needed"
    again = fuzz("--targets", sinner, "--replay", kept[b"foreign"], *limits)
    assert again.returncode == 1
    assert "KeyError" in again.stdout


def test_the_same_seed_makes_the_same_inputs(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    from fuzz import TARGETS as PLACES
    from fuzz import target_of
    from fuzzing.driver import input_of

    assert tuple(PLACES) == TARGETS
    for place in PLACES.values():
        one, other = target_of(place), target_of(place)
        random.seed()
        inputs = [input_of(one, 7, n).dump() for n in range(12)]
        assert inputs == [input_of(other, 7, n).dump() for n in range(12)]
        assert len(set(inputs)) > 6
        assert inputs != [input_of(other, 8, n).dump() for n in range(12)]
