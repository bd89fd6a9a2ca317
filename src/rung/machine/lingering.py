"""Workers that outlived their command, and whether any can."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rung.machine.findings import Finding
from rung.sizes import readable

if TYPE_CHECKING:
    from rung.config import Config
    from rung.tiers.llama.visits import Lingering


def lingering_findings(config: Config | None) -> Iterator[Finding]:
    """What lingers, and a folder that keeps workers from it. Other reasons are notes of the configuration.

    Args:
        config: the configuration in force; `None` if it is broken.
    """
    from rung.tiers.llama.rendezvous import folder, is_private
    from rung.tiers.llama.visits import lingering

    where = folder()
    if where.exists() and not is_private(where):
        wanted = config is not None and config.linger.value > 0
        yield Finding(
            "linger",
            "problem" if wanted else "note",
            f"{where} isn't a folder of this user alone, so no worker can linger",
            f"remove it, or `chmod 700 {where}`",
        )
    for worker in lingering():
        yield Finding("linger", "note", told(worker), "`rung linger stop` ends it")


def told(worker: Lingering) -> str:
    """A worker that lingers, in a clause."""
    held = memory_of(worker.pid)
    size = "" if held is None else f", {readable(held)}"
    if worker.left is None:
        state = "a command has it now"
    elif worker.left < 90:
        state = f"ends in {worker.left:.0f} s if no command needs it"
    else:
        state = f"ends in {worker.left / 60:.0f} min if no command needs it"
    return f"{worker.model} stays in memory (process {worker.pid}{size}): {state}"


def memory_of(pid: int) -> int | None:
    """Bytes of memory that a process holds, its share of files included; `None` if nobody can tell.

    Args:
        pid: its process id.
    """
    import psutil

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return None
