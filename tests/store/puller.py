"""A pull as a program of its own, to be killed: `puller.py ROOT ENTRY_TOML [FORK_BYTES]`. Prints each phase once.

With FORK_BYTES it forks a process that only sleeps, once that many bytes have come.
"""

import os
import sys
import time
from pathlib import Path

from rung.errors import RungError
from rung.store import Sourcing, Store, pull
from rung.store.entries import read_entry


def main() -> None:
    entry = read_entry(Path(sys.argv[2]))
    phases = []
    fork_at = [int(argument) for argument in sys.argv[3:]]

    def progress(now):
        if now.phase not in phases:
            phases.append(now.phase)
            print(now.phase, flush=True)
        if fork_at and now.done >= fork_at[0]:
            fork_at.clear()
            if os.fork() == 0:
                time.sleep(60)
                os._exit(0)

    try:
        store = Store(Path(sys.argv[1]), {entry.name: entry})
        pull(entry.name, sourcing=Sourcing(packages=True), progress=progress, store=store)
    except RungError as error:
        sys.exit(f"{type(error).__name__}: {error}")


main()
