"""Whether this machine has time to spare."""

from __future__ import annotations

import time

_LOOK = 0.5
"""Seconds that are looked at: longer than a pause between two tokens, and shorter than anybody's patience."""

BUSY = 0.5
"""Share of the processors' time from which the machine counts as busy: a model at work on half of the cores shows."""


def machine_is_idle(busy: float = BUSY) -> bool:
    """Whether the processors were mostly idle for half a second, which this takes. Nobody can tell for a GPU.

    Args:
        busy: share of their time from which they count as busy; 1 is never.
    """
    if busy >= 1:
        return True
    import psutil

    before = psutil.cpu_times()
    time.sleep(_LOOK)
    after = psutil.cpu_times()
    idle = sum(getattr(after, name, 0.0) - getattr(before, name, 0.0) for name in ("idle", "iowait"))
    # on Linux a guest's time is counted as user's, too
    counted = [name for name in after._fields if not name.startswith("guest")]
    whole = sum(getattr(after, name) - getattr(before, name) for name in counted)
    return bool(whole > 0 and 1 - idle / whole < busy)
