"""What Ray costs a job, and what it pays back: the same rows in one process, and with actors.

    unshare -rn sh -c 'ip link set lo up; .venv/bin/python scripts/bench_batch_ray.py'
    … scripts/bench_batch_ray.py --model smollm2-135m --rows 300

Without --model the tier is scripted: each row takes --seconds of waiting and no processor, so that what is measured is
Ray and not the machine. With --model every party has all cores: one process with all threads, actors with a share
each. A figure is one run. The fixed cost is the time until the first answer, less that of one process; memory is that
of all processes, shared pages divided among them.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import psutil

import rung
from rung.batch.climbing import Climbs
from rung.batch.intake import RowIntake
from rung.batch.manifest import JobManifest
from rung.batch.on_ray import RayCluster
from rung.batch.questions import Questions, Usual
from rung.batch.sources import source_of
from rung.batch.working import Job, work
from rung.limits import Cancel
from rung.testing import Reply, ScriptedTier

CHOICES = ["yes", "no"]
_MIB = 1 << 20


class Waiting(ScriptedTier):
    """Answers every row after some seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__("tier")
        self._seconds = seconds

    def stream(self, call: Any) -> Any:
        yield from ScriptedTier("tier", Reply("yes", seconds=self._seconds)).stream(call)


def ladder(model: str | None, seconds: float, together: int, threads: int) -> rung.Ladder:
    if model is None:
        return rung.Ladder(Waiting(seconds))
    return rung.Ladder(rung.llama(model, name="tier", slots=together, context=256 * together, threads=threads))


def equip(model: str | None, seconds: float, together: int, threads: int, place: int) -> Climbs:
    return Climbs(ladder(model, seconds, together, threads), {"tier": "tier"}, CHOICES)


class Memory:
    """The most memory that this process and its children took."""

    def __init__(self) -> None:
        self.peak = 0
        self._over = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        me = psutil.Process()
        while not self._over.wait(0.5):
            total = 0
            for process in (me, *me.children(recursive=True)):
                try:
                    total += process.memory_full_info().pss
                except psutil.Error:
                    continue
            self.peak = max(self.peak, total // _MIB)

    def close(self) -> int:
        self._over.set()
        return self.peak


def measured(chosen: argparse.Namespace, actors: int) -> dict[str, float]:
    """One run; without actors, in this process."""
    cores = psutil.cpu_count(logical=False) or 1
    threads = max(1, cores // max(1, actors))
    settings = (chosen.model, chosen.seconds, chosen.together, threads)
    memory, asks, rungs = Memory(), Questions(Usual()), ladder(*settings)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "in.jsonl"
        prompts = [f"Is {number} an even number?" for number in range(chosen.rows)]
        data.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts))
        with JobManifest(Path(folder) / "job") as manifest, source_of(data, asks.sees) as source:
            RowIntake(manifest, source, asks, None, Cancel()).run()
            began, first = time.monotonic(), 0.0
            place = partial(equip, *settings)
            reach = rung.Zone.HOST
            cluster = RayCluster(None, place, rungs.rungs, chosen.together, actors, reach) if actors else None
            job = Job(
                manifest, source, asks, rungs, {"tier": "tier"}, CHOICES, together=chosen.together, cluster=cluster
            )
            for progress in work(job):
                if progress.done and not first:
                    first = time.monotonic() - began
            whole = time.monotonic() - began
            if manifest.counts().accepted != chosen.rows:
                raise SystemExit(f"rows were lost: {manifest.counts()}")
            if cluster is not None:
                cluster.close()
    rungs.close()
    return {"first": first, "whole": whole, "memory": memory.close()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=0.5, help="of a row on the scripted tier")
    parser.add_argument("--together", type=int, default=4)
    parser.add_argument("--actors", type=int, default=2)
    parser.add_argument("--model", help="a model instead of the scripted tier")
    chosen = parser.parse_args()
    for actors in (0, chosen.actors):
        found = measured(chosen, actors)
        name = f"Ray, {actors} actors" if actors else "one process"
        rate = chosen.rows / found["whole"]
        print(
            f"{chosen.model or 'scripted'} | {name} | first answers after {found['first']:.1f} s | all after "
            f"{found['whole']:.1f} s | {rate:.1f} rows/s | {found['memory']:,} MiB",
            flush=True,
        )
    sys.stdout.flush()


if __name__ == "__main__":
    main()
