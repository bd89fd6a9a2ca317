"""What a process holds. No part of rung, so that it weighs the same in every party."""

from __future__ import annotations

import psutil


def memory_of(pid: int | None) -> dict[str, int]:
    """Memory of a process in bytes; 0 where the system doesn't tell.

    `rss` is what is resident; `file` is what of it belongs to a mapped GGUF file, and can be dropped at any time;
    `data` is private memory that is reserved, whether it was ever touched or not.
    """
    process = psutil.Process(pid)
    info = process.memory_info()
    maps = process.memory_maps() if hasattr(process, "memory_maps") else ()
    file = sum(each.rss for each in maps if each.path.endswith(".gguf"))
    return {"rss": info.rss, "file": file, "data": getattr(info, "data", 0)}
