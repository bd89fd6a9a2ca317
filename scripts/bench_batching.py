"""Do calls that are decoded together get other answers than alone, or after a restart? Flipped acceptances are counted.

    .venv/bin/rung eval SETS/clinc150.jsonl --task clinc150 --rows 100 --tier small --together 8 --json > eight.json
    .venv/bin/rung eval SETS/clinc150.jsonl --task clinc150 --rows 100 --tier small --together 1 --json > alone.json
    .venv/bin/python scripts/bench_batching.py eight.json alone.json

Two evaluations of the same rows are laid beside each other. A row flips where its answer is another one, or where it is
accepted in one evaluation and not in the other. Every threshold is tried that lies between two of the scores; given are
the mean over them, and the worst. No model is loaded.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from rung.learn.results import LADDER, read_results

FEATURE = "allowed_minimum"


def lines(before: str, after: str) -> Iterator[str]:
    """One for each tier that both evaluations asked."""
    one, other = read_results(before), read_results(after)
    for tier in one.names:
        if tier == LADDER or tier not in other.names:
            continue
        there = {result.key: result for result in other.of(tier)}
        pairs = [(result, there[result.key]) for result in one.of(tier) if result.key in there]
        answers = sum(a.value_hash != b.value_hash for a, b in pairs)
        scores = np.array([[r.features.get(FEATURE, -np.inf) for r in pair] for pair in pairs])
        known = np.unique(scores[np.isfinite(scores)])
        thresholds = [(low + high) / 2 for low, high in pairwise(known.tolist())]
        flips = [float(((scores[:, 0] > t) != (scores[:, 1] > t)).mean()) for t in thresholds]
        moved = np.abs(scores[:, 0] - scores[:, 1])
        yield (
            f"| {tier} | {one.together} | {other.together} | {len(pairs)} | {answers} | "
            f"{np.mean(flips):.2%} | {max(flips):.2%} | {np.nanmax(moved[np.isfinite(moved)]):.3f} |"
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", help="what `rung eval --json` printed")
    parser.add_argument("after", help="the same of another evaluation")
    options = parser.parse_args()
    print("| tier | together | together | rows | other answers | flips, mean | flips, worst | score moved by at most |")
    print("|---|---|---|---|---|---|---|---|")
    for line in lines(options.before, options.after):
        print(line)


if __name__ == "__main__":
    main()
