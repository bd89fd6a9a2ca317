"""A soak of the local tier: many short calls over some threads, random cancels, a worker killed now and then.

    .venv/bin/python scripts/soak.py
    .venv/bin/python scripts/soak.py --calls 200 --settle 50 --kills 1 --json soak.json

Each call has a constant of its own in its schema, which must come back and no other's. Nothing may hang, and memory,
threads and file descriptors of host and worker must stay where they were once the first calls are over. A new worker
counts anew. Exit code 0 where all of it held.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue

import psutil

import rung
from rung.limits import Cancel
from rung.tiers.llama import LlamaTier
from rung.tiers.llama.threads import free_cores
from rung.types import Call, Message, Sampling, Shape

_LOOK = 0.1
_SETTLED = 5.0
"""Seconds within which what belonged to the last calls and to dead workers must be gone."""

_TRIES = 5
_GROWTH = 1.05


@dataclass(frozen=True)
class Held:
    """What a process holds."""

    rss: int
    threads: int
    files: int

    @classmethod
    def by(cls, pid: int) -> Held:
        process = psutil.Process(pid)
        with process.oneshot():
            files = process.num_handles() if sys.platform == "win32" else process.num_fds()
            return cls(process.memory_info().rss, process.num_threads(), files)


@dataclass
class Report:
    """What came of it; `faults` says in words what did not hold."""

    calls: int
    kills: int
    seconds: float = 0.0
    outcomes: dict[str, int] = field(default_factory=dict)
    growth: dict[str, float] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


class Soak:
    """One run.

    Args:
        tier: that is asked.
        calls: how many, all threads together.
        threads: that ask.
        kills: how often the worker is killed, evenly spread.
        settle: how many calls of a process don't count for its memory.
        patience: seconds without any call's end that are a hang.
        seed: of cancels, prompts and sampling.
    """

    def __init__(
        self, tier: LlamaTier, *, calls: int, threads: int, kills: int, settle: int, patience: float, seed: int
    ) -> None:
        self._tier = tier
        self._settle = settle
        self._patience = patience
        self._threads = threads
        self._seed = seed
        self._pending: SimpleQueue[int] = SimpleQueue()
        self._kills = [calls * (i + 1) // (kills + 1) for i in range(kills)]
        self._lock = threading.Lock()
        self._done = 0
        self._resident: dict[str, tuple[int, int]] = {}
        self._began: dict[int, int] = {}
        self.report = Report(calls, kills)

    def run(self) -> Report:
        """All calls to their end, or to the first hang."""
        began = time.monotonic()
        # What comes once and for all, comes in a round of its own before anything is counted.
        self._round(range(self._settle))
        host, worker = Held.by(os.getpid()), self._worker()
        self._round(range(self._settle, self.report.calls))
        self._compare("host", host, lambda: Held.by(os.getpid()))
        self._compare("worker", worker, self._worker)
        for name in ("host", *(f"worker {number}" for number in range(1, len(self._began) + 1))):
            self._judge(name)
        self.report.seconds = time.monotonic() - began
        return self.report

    def _round(self, numbers: range) -> None:
        for number in numbers:
            self._pending.put(number)
        threads = [threading.Thread(target=self._ask_all, daemon=True) for _ in range(self._threads)]
        for thread in threads:
            thread.start()
        last, since = self._done, time.monotonic()
        while any(thread.is_alive() for thread in threads):
            time.sleep(_LOOK)
            self._look()
            if self._done != last:
                last, since = self._done, time.monotonic()
            elif time.monotonic() - since > self._patience:
                faulthandler.dump_traceback(all_threads=True)
                raise SystemExit(f"no call has ended for {self._patience:.0f} s: a hang after {self._done} calls")

    def _look(self) -> None:
        """Kill the worker where its time has come, and note what host and worker hold."""
        pid = self._tier.worker_pid
        if pid is None:
            return
        if self._kills and self._done >= self._kills[0]:
            self._kills.pop(0)
            psutil.Process(pid).kill()
            return
        self._began.setdefault(pid, self._done)
        try:
            self._weigh(f"worker {len(self._began)}", self._done - self._began[pid], pid)
        except psutil.Error:  # It died in between.
            return
        self._weigh("host", self._done, os.getpid())

    def _weigh(self, name: str, calls: int, pid: int) -> None:
        """Note the first and the greatest weight of what has settled; all of them would weigh something themselves."""
        rss = Held.by(pid).rss
        if calls >= self._settle:
            first, most = self._resident.get(name, (rss, rss))
            self._resident[name] = (first, max(most, rss))

    def _ask_all(self) -> None:
        while True:
            try:
                number = self._pending.get_nowait()
            except Empty:
                return
            for outcome in self._outcomes(number):
                with self._lock:
                    outcomes = self.report.outcomes
                    outcomes[outcome] = outcomes.get(outcome, 0) + 1
            with self._lock:
                self._done += 1

    def _outcomes(self, number: int) -> Iterator[str]:
        """What came of a call; of each of its tries where the worker died."""
        chance = random.Random(f"{self._seed} {number}")
        for _ in range(_TRIES):
            try:
                yield self._ask(number, chance)
                return
            except rung.TierCrashed:
                yield "crashed"
            except rung.RungError as error:
                self._fault(f"call {number} raised {type(error).__name__}: {error}")
                yield "failed"
                return
        self._fault(f"call {number} found the worker dead {_TRIES} times")

    def _ask(self, number: int, chance: random.Random) -> str:
        own = f"{number}-{chance.randrange(1000)}"
        begin = f'{{"id": "{own}", "word": "'
        cancel = Cancel()
        kind = chance.choices(("whole", "cancelled", "abandoned"), (80, 12, 8))[0]
        call = Call(
            (Message("system", "Be brief."), Message("user", f"{'Once more. ' * chance.choice((0, 0, 0, 10))}A word!")),
            shape=Shape("json", _schema(own)),
            sampling=Sampling(temperature=0.8, seed=number),
            max_tokens=60,
            cancel=cancel,
        )
        timer = threading.Timer(chance.random() * 0.3, cancel.set)
        if kind == "cancelled":
            timer.start()
        stream = self._tier.stream(call)
        text, finish = "", None
        try:
            for delta in stream:
                text += delta.text
                finish = delta.finish
                if kind == "abandoned" and text:
                    break
        except rung.Cancelled:
            if kind != "cancelled":
                self._fault(f"call {number} was cancelled by nobody")
        finally:
            timer.cancel()
            stream.close()
        if not (text.startswith(begin) or begin.startswith(text)):
            self._fault(f"call {number} got what isn't its own: {text[:80]!r}")
            return "wrong"
        if finish != "stop":
            if kind == "whole":
                self._fault(f"call {number} ended with {finish}")
            return kind
        if json.loads(text)["id"] != own:
            self._fault(f"call {number} got another's constant")
            return "wrong"
        return "right"

    def _worker(self) -> Held:
        self._tier.warm()
        return Held.by(self._tier.worker_pid)

    def _compare(self, who: str, before: Held, now: Callable[[], Held]) -> None:
        """Threads and files at rest, against those at rest after the first calls."""
        until = time.monotonic() + _SETTLED
        while True:
            held = now()
            grown = [what for what in ("threads", "files") if getattr(held, what) > getattr(before, what)]
            if not grown or time.monotonic() > until:
                break
            time.sleep(_LOOK)
        for what in grown:
            self._fault(f"{what} of the {who} grew from {getattr(before, what)} to {getattr(held, what)}")

    def _judge(self, name: str) -> None:
        if name not in self._resident:
            self._fault(f"{name} served too few calls to tell of its memory")
            return
        first, most = self._resident[name]
        growth = self.report.growth[name] = round(most / first, 4)
        if growth > _GROWTH:
            self._fault(f"memory of {name} grew from {first:,} to {most:,} bytes")

    def _fault(self, text: str) -> None:
        with self._lock:
            self.report.faults.append(text)


def _schema(own: str) -> dict[str, object]:
    return {
        "type": "object",
        "properties": {"id": {"const": own}, "word": {"type": "string", "maxLength": 4}},
        "required": ["id", "word"],
        "additionalProperties": False,
    }


def main() -> int:
    """Run it, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--settle", type=int, default=200, help="calls of a process that don't count for its memory")
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--patience", type=float, default=60.0, help="seconds without a call's end that are a hang")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    # By default as many threads decode as there are free cores, and their number would say nothing of a leak.
    tier = rung.llama(chosen.model, slots=chosen.slots, threads=free_cores())
    soak = Soak(
        tier,
        calls=chosen.calls,
        threads=chosen.threads,
        kills=chosen.kills,
        settle=chosen.settle,
        patience=chosen.patience,
        seed=chosen.seed,
    )
    try:
        report = soak.run()
    finally:
        tier.close()
    text = json.dumps(asdict(report), indent=1)
    print(text)
    if chosen.json:
        chosen.json.write_text(text)
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
