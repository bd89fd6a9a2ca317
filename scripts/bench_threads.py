"""How fast decoding is with one thread, with one per core, and with the number that the tier chooses by itself, on a
quiet machine and beside a program that keeps a core busy.

    python3 scripts/bench_threads.py --rounds 5

The cases alternate within each round, so what else the machine does meets all of them. Needs the model in the store.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from engine_bench.files import file_of
from rung.tiers.llama import LlamaTier
from rung.tiers.llama.threads import free_cores
from rung.types import Call, Message

PROMPT = "Write a long story about a lighthouse keeper."
SPIN = "while True: pass"


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    """Other programs, each of which keeps one core busy."""
    others = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(count)]
    try:
        time.sleep(1)
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def speed(tier: LlamaTier, tokens: int) -> float:
    """Decoded tokens a second, from the first token to the last."""
    first = last = 0.0
    count = 0
    for delta in tier.stream(Call((Message("user", PROMPT),), max_tokens=tokens)):
        if delta.tokens:
            last = time.perf_counter()
            first = first or last
            count += len(delta.tokens)
    return (count - 1) / (last - first)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="qwen2.5-coder-0.5b")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    file_of(options.model)
    cores = free_cores()
    tiers = {
        name: LlamaTier(options.model, threads=threads)
        for name, threads in (("1", 1), (str(cores), cores), ("auto", None))
    }
    found: dict[str, dict[str, list[float]]] = {"quiet": {}, "busy": {}}
    try:
        for tier in tiers.values():
            speed(tier, 8)
        for _ in range(options.rounds):
            for case, busy in (("quiet", 0), ("busy", max(1, cores // 2))):
                with neighbours(busy):
                    for name, tier in tiers.items():
                        found[case].setdefault(name, []).append(speed(tier, options.tokens))
    finally:
        for tier in tiers.values():
            tier.close()
    if options.json:
        print(json.dumps({"model": options.model, "cores": cores, "tokens_per_second": found}))
        return
    print(f"{options.model}, {cores} cores, {options.rounds} rounds of {options.tokens} tokens; tokens a second")
    print(f"{'':8}{'threads':>8}{'median':>8}{'least':>8}{'most':>8}{'auto / this':>13}")
    for case, speeds in found.items():
        auto = statistics.median(speeds["auto"])
        for name, values in speeds.items():
            middle = statistics.median(values)
            print(f"{case:8}{name:>8}{middle:8.1f}{min(values):8.1f}{max(values):8.1f}{auto / middle:13.2f}")


if __name__ == "__main__":
    main()
