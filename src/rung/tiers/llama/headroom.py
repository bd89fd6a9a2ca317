"""How much memory this process may still take: what the machine has free, and what limits leave of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


SHARE = 0.9
"""Share of the free memory of the machine or a GPU that may be used. The rest is for other programs, the driver and the
screen."""

_STRAINED = 512 << 20
"""Bytes of free memory below which an idle model should be unloaded, before the system begins to swap."""


@dataclass(frozen=True, slots=True)
class FreeMemory:
    """Memory at one moment, in bytes.

    Args:
        available: memory that can be taken without swapping. Caches of files count as free.
        limited_by: what limits `available`: `this machine`, or a limit.
        address_space: what the limit on address space leaves, mapped files included; `None` if there is no limit.
    """

    available: int
    limited_by: str = "this machine"
    address_space: int | None = None


def free_memory(*, groups: Path = _GROUPS, membership: Path = _MEMBERSHIP) -> FreeMemory:
    """What is free now. On Windows the limits of a job object are not seen.

    Args:
        groups: where the kernel's control groups are mounted.
        membership: the file that says in which of them this process is.
    """
    import psutil

    found = FreeMemory(psutil.virtual_memory().available)
    for left in _group_limits(groups, membership):
        if left < found.available:
            found = FreeMemory(left, "the control group's limit")
    return FreeMemory(found.available, found.limited_by, _address_space())


def strained(memory: FreeMemory | None = None) -> bool:
    """Whether memory is so short that an idle model should be unloaded.

    Args:
        memory: what is free; `None` asks the system.
    """
    return (memory or free_memory()).available < _STRAINED


def _group_limits(groups: Path, membership: Path) -> Iterator[int]:
    """What each control group leaves, from this process's own up to the root, in versions 1 and 2."""
    try:
        lines = membership.read_text("utf-8", "replace").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if not controllers:
            yield from _up(groups, path, "memory.max", "memory.current", "")
            yield from _up(groups, path, "memory.high", "memory.current", "")
        elif "memory" in controllers.split(","):
            yield from _up(groups / "memory", path, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_")


def _up(root: Path, path: str, limit: str, used: str, prefix: str) -> Iterator[int]:
    # In a container the path may be the host's. Then only the root of the mount can be seen.
    inside = [part for part in path.split("/") if part not in ("", "..")]
    for depth in range(len(inside), -1, -1):
        folder = root.joinpath(*inside[:depth])
        most, taken = _number(folder / limit), _number(folder / used)
        if most is not None and taken is not None:
            yield max(0, most - taken + _cache(folder / "memory.stat", prefix))


def _number(path: Path) -> int | None:
    """The number in a file; `None` if there is no such file, or no number, as in `max`."""
    try:
        return int(path.read_text("ascii"))
    except (OSError, ValueError):
        return None


def _cache(path: Path, prefix: str) -> int:
    """Bytes of cached files that a group can release."""
    try:
        rows = [line.split() for line in path.read_text("ascii").splitlines()]
        return sum(int(row[1]) for row in rows if row[0] in (f"{prefix}inactive_file", f"{prefix}active_file"))
    except (OSError, ValueError, IndexError):
        return 0


if sys.platform == "win32":

    def _address_space() -> int | None:
        return None

else:

    def _address_space() -> int | None:
        import resource

        import psutil

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit == resource.RLIM_INFINITY:
            return None
        return max(0, limit - int(psutil.Process(os.getpid()).memory_info().vms))
