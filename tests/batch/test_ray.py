"""Jobs on Ray itself, in a network namespace of their own: actors and the job are killed, and nothing is lost."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from batch.jobs import read, rows, until
from batch.ray_jobs import right
from rung.batch.manifest import JobManifest

TESTS = Path(__file__).resolve().parents[1]
ROWS = 300


def namespace() -> bool:
    """Whether this user may make a network namespace."""
    if sys.platform != "linux" or shutil.which("unshare") is None or shutil.which("ip") is None:
        return False
    return (
        subprocess.run(["unshare", "-rn", "ip", "link", "set", "lo", "up"], capture_output=True, check=False).returncode
        == 0
    )


pytestmark = [
    pytest.mark.slow,
    pytest.mark.proof,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray isn't installed: pip install 'rung[ray]'"),
    pytest.mark.skipif(not namespace(), reason="no network namespace can be made, and Ray looks for a network"),
]


def start(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    """A program of Python without any network."""
    paths = [str(TESTS), str(TESTS / "helpers")]
    inside = 'ip link set lo up; exec "$@"'
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            ["unshare", "-rn", "sh", "-c", inside, "sh", sys.executable, "-m", *words],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            stdout=log,
            stderr=log,
        )


def actors(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The actors that hold a tier: Ray names a worker's process after what it runs."""
    children = psutil.Process(process.pid).children(recursive=True)
    return [it for it in children if "TierActor" in " ".join(it.cmdline())]


def answered(out: Path) -> int:
    if not Path(f"{out}.job").exists():
        return 0
    with JobManifest(Path(f"{out}.job")) as manifest:
        return int(manifest.rows("SELECT count(*) AS n FROM questions WHERE answer IS NOT NULL")[0]["n"])


def killed_and_finished(folder: Path, words: Sequence[str], out: Path) -> None:
    """Run a job; kill an actor, then the job's process; check that nothing of it is left; and run it again."""
    first = start(folder, *words)
    until(lambda: answered(out) > ROWS // 10 or first.poll() is not None, 600)
    assert first.poll() is None, (folder / "log").read_text()[-2000:]
    actors(first)[0].kill()
    held = answered(out)
    until(lambda: answered(out) > held + ROWS // 10 or first.poll() is not None, 600)
    assert first.poll() is None, (folder / "log").read_text()[-2000:]
    family = psutil.Process(first.pid).children(recursive=True)
    first.send_signal(signal.SIGKILL)
    first.wait()
    held = answered(out)
    assert held > ROWS // 5
    until(lambda: not [it for it in family if it.is_running() and it.status() != psutil.STATUS_ZOMBIE], 120)
    again = start(folder, *words)
    assert again.wait(600) in (0, 3), (folder / "log").read_text()[-2000:]


def test_a_killed_actor_and_a_killed_job_lose_nothing(tmp_path):
    data, out, log = (
        rows(tmp_path / "in.jsonl", [f"q{n}" for n in range(ROWS)]),
        tmp_path / "out.jsonl",
        tmp_path / "calls",
    )
    killed_and_finished(tmp_path, ["batch.ray_jobs", str(data), str(out), str(log), "0.05", "2"], out)
    found = read(out)
    assert [row["line"] for row in found] == list(range(1, ROWS + 1))
    assert [row["value"] for row in found] == ["yes" if right(None, f"q{n}") == "yes" else "no" for n in range(ROWS)]
    calls = [line.split() for line in log.read_text().splitlines()]
    # two actors before the kill, a third in its place, two of the second run
    assert len({pid for pid, _ in calls}) >= 4
    # a row that goes up was repaired, and so asked twice; a kill makes the blocks under way be asked again
    sent_up = sum(row["tier"] == "big" for row in found)
    assert len(calls) <= ROWS + sent_up + 2 * 4 * 2 * 8 * 2


@pytest.mark.weights
def test_the_same_on_a_real_model_by_the_command(tmp_path):
    rows(tmp_path / "in.jsonl", [f"Is {n} an even number?" for n in range(ROWS)])
    out = tmp_path / "out.jsonl"
    (tmp_path / "rung.toml").write_text(
        '[[tier]]\nname = "small"\nkind = "llama"\nmodel = "smollm2-135m"\nthreads = 1\nslots = 4\n'
        "context = 1024\nmin_confidence = 0\n"
    )
    words = ["rung", "batch", "in.jsonl", "--out", "out.jsonl", "--choices", "yes,no", "--config", "rung.toml"]
    killed_and_finished(tmp_path, [*words, "--on", "ray", "--actors", "2", "--together", "4"], out)
    found = read(out)
    assert [row["line"] for row in found] == list(range(1, ROWS + 1))
    assert {row["tier"] for row in found} == {"small"}
    assert {row["value"] for row in found} <= {"yes", "no"}
    said = json.loads(json.dumps(found[0]))
    assert said["confidence"] is not None
