"""A job on a real model: its worker killed, and the process itself."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil
import pytest

import rung
from batch.jobs import Forked, read, rows, run, until
from rung.batch import outputs
from rung.batch.manifest import JobManifest
from rung.batch.merging import merged

pytestmark = [
    pytest.mark.weights,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="forks the process that is killed"),
]
COUNT = 24


def job(data: Path, out: Path) -> list[dict]:
    with rung.Ladder(rung.llama("smollm2-135m", slots=4)) as ladder:
        return run(data, out, *ladder.rungs, output=["yes", "no"], together=4)


def finished(out: Path) -> dict[int, str]:
    if not Path(f"{out}.job").exists():
        return {}
    with JobManifest(Path(f"{out}.job")) as manifest:
        found = manifest.rows("SELECT number, answer FROM questions WHERE answer IS NOT NULL")
    return {it["number"]: it["answer"] for it in found}


def workers(pid: int) -> list[psutil.Process]:
    found = psutil.Process(pid).children(recursive=True)
    return [it for it in found if "rung.tiers.llama.worker" in " ".join(it.cmdline())]


def test_worker_and_host_are_killed_and_every_row_is_answered_once(tmp_path):
    data = rows(tmp_path / "in.jsonl", [f"Is {n} an even number?" for n in range(COUNT)])
    out = tmp_path / "out.jsonl"
    first = Forked(lambda: job(data, out))
    until(lambda: len(finished(out)) >= 4, 180)
    for worker in workers(first.pid):
        worker.kill()
    # rows that were under way when the worker died are asked again, and not sent up or rejected
    held = len(finished(out))
    until(lambda: len(finished(out)) >= held + 4 or first.poll() is not None, 180)
    first.kill()
    before = finished(out)
    found = job(data, out)
    assert [row["line"] for row in found] == list(range(1, COUNT + 1))
    assert {row["tier"] for row in found} == {"smollm2-135m"}
    after = finished(out)
    assert {number: after[number] for number in before} == before


@pytest.mark.proof
def test_shards_of_a_real_model_are_merged_to_the_whole(tmp_path):
    prompts = [f"Is {n} an even number?" for n in range(COUNT)]
    data, parts = rows(tmp_path / "in.jsonl", prompts), [tmp_path / f"part{number}.jsonl" for number in (1, 2)]
    found = []
    for number, part in enumerate(parts, 1):
        with rung.Ladder(rung.llama("smollm2-135m", slots=4)) as ladder:
            found += run(data, part, ladder=ladder, output=["yes", "no"], together=4, shard=f"{number}/2")
    with merged(tmp_path / "all.jsonl", parts) as manifest:
        outputs.write(manifest, tmp_path / "all.jsonl", tmp_path / "all.rejects.jsonl")
    whole = read(tmp_path / "all.jsonl")
    assert [row["line"] for row in whole] == list(range(1, COUNT + 1))
    assert whole == sorted(found, key=lambda row: row["line"])
