"""Pulls as programs of their own, and what of them still runs."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
from standin import StandIn

PULLER = Path(__file__).with_name("puller.py")


def toml_of(store) -> str:
    """The entry `tiny` as a file, for a pull in another process."""
    entry = store.catalogue["tiny"]
    plain = entry.model_dump(exclude={"source"}, exclude_defaults=True)
    lines = [f"{k} = {v!r}" for k, v in plain.items()]
    for source in entry.source:
        lines += ["[[source]]", *(f"{k} = {v!r}" for k, v in source.model_dump().items())]
    store.root.mkdir(parents=True, exist_ok=True)
    path = store.root.parent / "tiny.toml"
    path.write_text("\n".join(lines))
    return str(path)


def start_pull(store, *more: str, **options) -> subprocess.Popen:
    command = [sys.executable, str(PULLER), str(store.root), toml_of(store), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def kill_after(process: subprocess.Popen, standin: StandIn, count: int) -> None:
    """Kills a pull once it was sent so many more bytes. A slow start doesn't move the moment; an end does no harm."""
    until = standin.sent + count
    while standin.sent < until and process.poll() is None:
        time.sleep(0.005)
    process.kill()
    process.communicate()


def still_running(marker: Path, *, within: float = 10.0) -> list[list[str]]:
    """Command lines of processes that work in `marker`, after giving them `within` seconds to end."""
    end = time.monotonic() + within
    while True:
        alive = []
        for process in psutil.process_iter():
            try:
                if str(marker) in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                    alive.append(process.cmdline())
            except psutil.Error:
                continue
        if not alive or time.monotonic() > end:
            return alive
        time.sleep(0.1)
