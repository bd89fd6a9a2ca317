"""Which local models stay in memory: the smallest always, a bigger one while it is in use."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterable
from dataclasses import dataclass, field

from rung.tier import Resides, Rung

UNLOAD_AFTER = 300.0
"""Seconds after which a model that no call uses is unloaded, unless somebody says otherwise: long enough that a person
who reads an answer before asking again doesn't wait for a load."""

_LOOK = 5.0
"""Seconds between two looks at idle models. If models may stay for less than that, the watch looks more often."""

_SHORTEST_LOOK = 0.05


@dataclass(slots=True)
class _Watch:
    """The thread that watches over idle models in one process. After a fork the child gets its own."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    running: bool = False


class Residency:
    """Loads a model before it is needed, makes room for it, and unloads it when nobody needs it any more.

    Nothing here waits for a model, and nothing here keeps a tier from being collected.

    Args:
        rungs: smallest first. Tiers that hold no model in memory are left alone.
        unload_after: seconds after which a model that no call uses is unloaded, sooner where memory is short. The first
            tier's model stays. `None` keeps every model until another needs the room.
    """

    def __init__(self, rungs: Iterable[Rung] = (), unload_after: float | None = UNLOAD_AFTER) -> None:
        self._residents = tuple(rung.resides for rung in rungs if rung.resides is not None)
        self._unload_after = unload_after
        self._look = _LOOK if unload_after is None else min(_LOOK, max(_SHORTEST_LOOK, unload_after / 4))
        self._watches: dict[int, _Watch] = {}

    def make_room(self, rung: Rung) -> None:
        """Unload models that no call uses, the biggest first, until the model of this rung fits into memory."""
        resident = rung.resides
        if resident is None or resident.loaded:
            return
        for other in reversed(self._residents):
            if resident.fits():
                break
            if other is not resident:
                other.unload()
        self._watch_over(resident)

    def expect(self, rung: Rung) -> None:
        """Begin to load the model after this rung's, if it fits into memory beside what is loaded."""
        resident = rung.resides
        if resident is None or resident is self._residents[-1]:
            return
        following = self._residents[self._residents.index(resident) + 1]
        if not following.loaded and following.fits():
            following.preload()
            self._watch_over(following)

    def _watch_over(self, resident: Resides) -> None:
        if self._unload_after is None or resident is self._residents[0]:
            return
        watch = self._watches.setdefault(os.getpid(), _Watch())
        with watch.lock:
            if not watch.running:
                watch.running = True
                arguments = (weakref.ref(self), watch, self._look)
                threading.Thread(target=_look_after, args=arguments, name="rung-residency", daemon=True).start()

    def tidy(self) -> bool:
        """Unload what was idle too long. Returns whether anything is left to watch."""
        limit = self._unload_after
        for tier in reversed(self._residents[1:]):
            idle = tier.idle
            if limit is not None and idle is not None and (idle >= limit or (idle >= self._look and tier.strained())):
                tier.unload()
        return any(tier.loaded for tier in self._residents[1:])


def _look_after(residency: weakref.ref[Residency], watch: _Watch, look: float) -> None:
    pause = threading.Event()
    while True:
        pause.wait(look)
        it = residency()
        if it is None:
            return
        # Under the lock, so that whoever loads a model meanwhile starts a new watch.
        with watch.lock:
            if not it.tidy():
                watch.running = False
                return
        del it
