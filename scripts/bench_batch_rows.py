"""A job of very many rows on a scripted tier: memory, the time to go on after a kill, and the size of the manifest.

    .venv/bin/python scripts/bench_batch_rows.py --rows 1000000 --folder /tmp/rows

The input is made, and the tier answers at once, so that what is measured is the job and not a model. The job is killed
while it reads the input, and again in the middle. With --until a job of very many rows ends earlier: memory and size
are then those up to there.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from rung import Ladder
from rung.batch import outputs
from rung.batch.intake import RowIntake
from rung.batch.manifest import JobManifest
from rung.batch.questions import Questions, Usual
from rung.batch.sources import source_of
from rung.batch.working import Job, work
from rung.errors import TierError
from rung.limits import Cancel
from rung.types import Call, Delta

_MIB = 1 << 20


class Instant:
    """Answers at once; one row in ten is beyond it."""

    name, zone = "small", 0

    def stream(self, call: Call):
        text = call.messages[-1].text
        yield Delta("unsure" if " 7 " in text else "yes")
        yield Delta(finish="stop")

    def close(self) -> None:
        pass


def make(path: Path, rows: int) -> None:
    if path.exists():
        return
    with path.open("w") as out:
        for number in range(rows):
            prompt = f"Row {number}: is a cheque of {number % 97} pounds and {number % 10} pence more than ten pounds?"
            out.write(json.dumps({"id": f"r{number}", "prompt": prompt}) + "\n")


def child(data: Path, out: Path) -> None:
    """The job itself; says on stdout when the first row is through, and how far it is."""
    began = time.monotonic()
    asks = Questions(Usual())
    small = Instant()
    ladder = Ladder(small)
    with JobManifest(Path(f"{out}.job")) as manifest, source_of(data, asks.sees) as source:
        RowIntake(manifest, source, asks, None, Cancel()).run(lambda rows: say("read", rows, began))
        job = Job(manifest, source, asks, ladder, {"small": "small"}, ["yes", "no"])
        first = True
        for progress in work(job):
            if first:
                say("first", progress.done, began)
                first = False
            say("done", progress.done, began)
        outputs.write(manifest, out, out.with_suffix(".rejects.jsonl"))
    say("whole", 0, began)


def say(what: str, number: int, began: float) -> None:
    print(json.dumps([what, number, round(time.monotonic() - began, 2)]), flush=True)


class Running:
    """The job in a process, watched."""

    def __init__(self, data: Path, out: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--child", "--folder", str(data.parent), "--rows", "0"],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.peaks: list[tuple[str, int, int]] = []

    def until(self, enough) -> tuple[str, int, float]:
        """Follow it until `enough` says so; the last that it said."""
        assert self.process.stdout is not None
        watched = psutil.Process(self.process.pid)
        said = ("", 0, 0.0)
        for line in self.process.stdout:
            what, number, seconds = json.loads(line)
            said = (what, number, seconds)
            if what != "whole":
                self.peaks.append((what, number, watched.memory_info().rss // _MIB))
            if enough(*said):
                return said
        if self.process.wait():
            raise TierError("the job failed")
        return said

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()


def memory(running: Running, what: str) -> str:
    found = [(number, mib) for said, number, mib in running.peaks if said == what]
    if not found:
        return "none"
    picked = [found[len(found) * part // 4] for part in range(4)] + [found[-1]]
    return ", ".join(f"{number:,} rows: {mib} MiB" for number, mib in picked)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--until", type=int, default=None, help="end after so many rows")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    data, out = chosen.folder / "in.jsonl", chosen.folder / "out.jsonl"
    if chosen.child:
        child(data, out)
        return
    chosen.folder.mkdir(parents=True, exist_ok=True)
    make(data, chosen.rows)
    print(f"input: {chosen.rows:,} rows, {data.stat().st_size / _MIB:.0f} MiB", flush=True)
    reading = Running(data, out)
    reading.until(lambda what, number, seconds: number > chosen.rows // 3)
    reading.kill()
    began = time.monotonic()
    going = Running(data, out)
    *_, seconds = going.until(lambda what, number, seconds: what == "first")
    print(f"read after a kill: {going.peaks[0][1]:,} rows were kept; all read and begun after {seconds:.1f} s")
    print(f"memory while reading: {memory(going, 'read')}", flush=True)
    middle = (chosen.until or chosen.rows) // 2
    going.until(lambda what, number, seconds: what == "done" and number > middle)
    print(f"memory while asking: {memory(going, 'done')}")
    print(f"rate: {middle / (time.monotonic() - began - seconds):,.0f} rows/s", flush=True)
    going.kill()
    began = time.monotonic()
    last = Running(data, out)
    _, _, seconds = last.until(lambda what, number, seconds: what == "first")
    whole = time.monotonic() - began
    print(
        f"start after a kill in the middle: first row after {seconds:.1f} s; {whole:.1f} s with Python and its imports"
    )
    rest = (chosen.until or chosen.rows) - middle
    what, *_ = last.until(lambda what, number, seconds: chosen.until is not None and what == "done" and number > rest)
    if what != "whole":
        last.kill()
    print(f"memory after it: {memory(last, 'done')}")
    with JobManifest(Path(f"{out}.job")) as manifest:
        counts = manifest.counts()
        manifest.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    size = Path(f"{out}.job").stat().st_size
    print(f"{counts}")
    print(f"manifest: {size / _MIB:.0f} MiB, {size / counts.rows:.0f} bytes a row")


if __name__ == "__main__":
    main()
