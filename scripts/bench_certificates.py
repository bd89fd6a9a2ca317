"""How much of the traffic a certificate keeps on the small tier, from so many rows, beside the most that anybody could.

    .venv/bin/python scripts/bench_certificates.py [--draws 500] [--cells 9]

Simulated: what a right and a wrong answer score is normal. A: at most 5% of the accepted answers wrong. B: at most 3
points less accurate than mid, labelled. C: at most 3 (5) of 100 answers differ from mid's. Rows are certify rows; A
chooses its thresholds on half as many fit rows. Delta is 0.1.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np

from binormal import Population
from rung.learn.certificates import certify, certify_accepted

DELTA = 0.1
POPULATIONS = tuple(
    Population(small, auroc, mid)
    for small, mid in ((0.5, 0.75), (0.8, 0.9), (0.9, 0.95))
    for auroc in (0.75, 0.85, 0.93)
)
COLUMNS = ("A 100", "A 200", "A 300", "B 200", "B 300", "B 1000", "C 1000", "D 1000")


def threshold(population: Population, column: str, generator: np.random.Generator) -> float | None:
    """The threshold that one draw of rows certifies; D is C at 5 points."""
    kind, rows = column.split()
    found = population.draw(generator, int(rows))
    if kind == "A":
        fit = population.draw(generator, int(rows) // 2)
        return certify_accepted(
            found.scores, found.wrong, fit_scores=fit.scores, fit_wrong=fit.wrong, limit=0.05, delta=DELTA
        ).threshold
    losses = found.worse if kind == "B" else found.differs
    return certify(found.scores, losses, limit=0.05 if kind == "D" else 0.03, delta=DELTA).threshold


def most(population: Population, kind: str) -> float:
    """The share that somebody keeps who knows the population."""
    risk = {"A": population.wrong, "B": population.worse}.get(kind, population.differs)
    grid = np.linspace(-8, 12, 4001)
    within = risk(grid) <= (0.05 if kind in "AD" else 0.03)
    return float(population.kept(grid)[within].max(initial=0.0))


def kept(population: Population, column: str, draws: int, seed: int = 0) -> tuple[float, float]:
    """Mean kept share over draws, and the share of draws that certify nothing."""
    generator = np.random.default_rng(seed)
    found = [threshold(population, column, generator) for _ in range(draws)]
    return float(np.mean([population.kept(cut) for cut in found])), float(np.mean([cut is None for cut in found]))


def lines(draws: int, cells: int) -> Iterator[str]:
    yield "| small right / AUROC | " + " | ".join(f"{name} (most)" for name in COLUMNS) + " | A 300: nothing |"
    yield "|---|" + "---|" * (len(COLUMNS) + 1)
    for population in POPULATIONS[:cells]:
        row = []
        for column in COLUMNS:
            share, nothing = kept(population, column, draws)
            row.append(f"{share:.2f} ({most(population, column[0]):.2f})")
            if column == "A 300":
                last = f"{nothing:.0%}"
        yield f"| {population.small} / {population.auroc} | " + " | ".join([*row, last]) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--cells", type=int, default=9)
    options = parser.parse_args()
    for line in lines(options.draws, options.cells):
        print(line, flush=True)


if __name__ == "__main__":
    main()
