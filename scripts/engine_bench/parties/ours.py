"""rung's local tier, through its public interface: a worker process and its pipe."""

from __future__ import annotations

import os
import random
import threading
import time
from pathlib import Path
from typing import Any

import platformdirs
import psutil

import rung
from engine_bench.memory import memory_of
from engine_bench.prompts import filler
from engine_bench.timing import Clock, Timing
from rung.limits import Cancel
from rung.types import Call, Message, Shape

_ASLEEP = 0.02
"""Seconds: a loop that sleeps for so long has nothing to do. No decode step lets it sleep as long."""

_PREFIX_MIB = 256
_WRITTEN = 30.0


def _rate(stamps: list[tuple[float, int]], first: float, last: float) -> float:
    """Tokens a second of one answer between its last pieces before two moments.

    The pieces of a step come one after the other. Were all answers counted between the same two moments, the last step
    would count for those alone that come first in it.

    Args:
        stamps: when each of its pieces came, and of how many tokens.
        first: the first moment, at which it has a piece.
        last: the second one.

    Raises:
        ValueError: nothing came between them.
    """
    began, ended = (max(at for at, _ in stamps if at <= moment) for moment in (first, last))
    if began == ended:
        raise ValueError("the answers were too short: at no time were all of them decoding")
    return sum(count for at, count in stamps if began < at <= ended) / (ended - began)


class Ours:
    """A tier.

    Args:
        model: path of the GGUF file.
        context: in tokens.
        threads: for decoding.
        gpu_layers: layers of the model that go to a GPU.
        slots: most calls at once.
        cache: where prefixes are kept on disk; `None` keeps none.
    """

    def __init__(
        self,
        model: str,
        context: int,
        threads: int,
        gpu_layers: int = 0,
        slots: int = 4,
        cache: str | None = None,
    ) -> None:
        if cache is not None:
            os.environ["XDG_CACHE_HOME"] = cache
        self._tier = rung.llama(
            model,
            context=context,
            threads=threads,
            gpu_layers=gpu_layers,
            slots=slots,
            prefix_mib=_PREFIX_MIB if cache else 0,
        )
        self._tier.warm()

    def answer(self, messages: Any, max_tokens: int, schema: Any = None, rejected: str | None = None) -> Timing:
        """One answer, greedy."""
        clock = Clock()
        for delta in self._tier.stream(_call(messages, max_tokens, schema=schema, rejected=rejected)):
            if delta.tokens:
                clock.piece(delta.text)
        return clock.stop()

    def prompt_tokens(self, messages: Any) -> int:
        """How long a prompt is."""
        return self._tier.quote(_call(messages, 1)).input_tokens or 0

    def saved(self, count: int) -> int:
        """Wait until so many prefixes lie on disk; the bytes that they take."""
        folder = platformdirs.user_cache_path("rung") / "prefixes"
        until = time.monotonic() + _WRITTEN
        while len(files := _whole(folder)) < count:
            if time.monotonic() > until:
                raise TimeoutError(f"{len(files)} of {count} prefixes were written")
            time.sleep(0.01)
        return sum(file.stat().st_size for file in files)

    def together(self, conversations: Any, max_tokens: int) -> dict[str, float]:
        """Several answers at once: decoded tokens a second while all of them are decoding, and over everything."""
        stamps: list[list[tuple[float, int]]] = [[] for _ in conversations]

        def ask(messages: Any, into: list[tuple[float, int]]) -> None:
            for delta in self._tier.stream(_call(messages, max_tokens)):
                if delta.tokens:
                    into.append((time.perf_counter(), len(delta.tokens)))

        began = time.perf_counter()
        threads = [threading.Thread(target=ask, args=pair) for pair in zip(conversations, stamps, strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        first, last = max(s[0][0] for s in stamps), min(s[-1][0] for s in stamps)
        tokens = sum(count for each in stamps for _, count in each)
        rate = sum(_rate(each, first, last) for each in stamps)
        return {"rate": rate, "whole": tokens / (max(s[-1][0] for s in stamps) - began)}

    def cancel(self, where: str, times: int, seed: int) -> list[float]:
        """Cancel calls at random moments of their prefill or decode; seconds until the worker slept.

        The loop's thread is the worker's main thread, and sleeps only when nothing is left to do. So its state, looked
        at every millisecond, tells the instant directly; the time of a next call would carry that call's own spread.
        """
        chance = random.Random(seed)
        found: list[float] = []
        while len(found) < times:
            found += self._cancel_once(where, chance)
        return found

    def _cancel_once(self, where: str, chance: random.Random) -> list[float]:
        cancel, started, decoding = Cancel(), threading.Event(), threading.Event()
        # No two prefills begin alike, or what is kept of one would shorten the next.
        text = filler(1500, chance.randrange(10**6)) if where == "prefill" else "Count to a thousand in words."
        call = _call([{"role": "user", "content": text}], 1000, cancel=cancel)

        def ask() -> None:
            started.set()
            try:
                for delta in self._tier.stream(call):
                    if delta.tokens:
                        decoding.set()
            except rung.Cancelled:
                pass

        thread = threading.Thread(target=ask)
        thread.start()
        (started if where == "prefill" else decoding).wait(60)
        time.sleep(0.1 + chance.random() * 0.3)
        meant = decoding.is_set() == (where == "decode")
        worker = psutil.Process(self._tier.worker_pid)
        busy = any(worker.status() == psutil.STATUS_RUNNING for _ in range(20))
        began = time.perf_counter()
        cancel.set()
        asleep = _sleeps(worker)
        thread.join()
        return [asleep - began] if meant and busy else []

    def memory(self) -> dict[str, int]:
        """Of the worker, in bytes."""
        return memory_of(self._tier.worker_pid)

    def close(self) -> None:
        """End the worker."""
        self._tier.close()


def _whole(folder: Path) -> list[Path]:
    """Prefixes that are written to their end: those under way have the names of temporary files."""
    return [file for file in folder.glob("*.prefix") if not file.name.startswith("tmp")]


def _sleeps(worker: psutil.Process) -> float:
    """The instant from which the worker's main thread sleeps."""
    since = None
    while True:
        now = time.perf_counter()
        if worker.status() != psutil.STATUS_SLEEPING:
            since = None
        elif since is None:
            since = now
        elif now - since >= _ASLEEP:
            return since
        time.sleep(0.001)


def _call(messages: Any, max_tokens: int, schema: Any = None, **more: Any) -> Call:
    """A call; `reusable` in a message marks it so."""
    shape = None if schema is None else Shape("json", schema)
    return Call(tuple(Message(**message) for message in messages), shape=shape, max_tokens=max_tokens, **more)
