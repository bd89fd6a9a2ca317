"""Jobs whose tiers are asked in Ray's actors, as a program that a test starts in a network namespace of its own.

python -m batch.ray_jobs IN OUT LOG SECONDS ACTORS
"""

from __future__ import annotations

import json
import os
import sys
import time
import zlib
from functools import partial
from pathlib import Path

import rung
from batch.jobs import Answering, run
from rung.batch.climbing import Climbs
from rung.batch.on_ray import RayCluster

TOGETHER = 4
NAMES = {"small": "small", "big": "big"}


def right(log: Path | None, prompt: str) -> str:
    """Two thirds of the prompts are answered by the small tier. The log says which process was asked."""
    if log is not None:
        with log.open("a") as out:
            out.write(f"{os.getpid()} {prompt}\n")
    return "yes" if zlib.crc32(prompt.encode()) % 3 else "perhaps"


def no(prompt: str) -> str:
    return "no"


def ladder(log: Path | None, seconds: float) -> rung.Ladder:
    return rung.Ladder(Answering("small", partial(right, log), None, seconds), Answering("big", no, None, seconds))


def equip(log: Path, seconds: float, place: int) -> Climbs:
    return Climbs(ladder(log, seconds), NAMES, ["yes", "no"])


def main() -> None:
    data, out, log, seconds, actors = (*map(Path, sys.argv[1:4]), float(sys.argv[4]), int(sys.argv[5]))
    began = time.monotonic()
    rungs = ladder(None, seconds)
    address = sys.argv[6] if len(sys.argv) > 6 else None
    cluster = RayCluster(address, partial(equip, log, seconds), rungs.rungs, TOGETHER, actors, rung.Zone.HOST)
    try:
        found = run(data, out, ladder=rungs, output=["yes", "no"], together=TOGETHER, cluster=cluster)
    finally:
        cluster.close()
    print(json.dumps({"rows": len(found), "seconds": time.monotonic() - began}))


if __name__ == "__main__":
    main()
