"""Does a weak answer's own text tell when to ask the strong model? Replayed on recorded answers: no model runs.

    .venv/bin/python scripts/bench_routellm.py

Random mixing has an APGR of 0.5 and a CPT50 of 50%. A ladder always pays the weak call, a router doesn't.
"""

from __future__ import annotations

import numpy as np

from routellm import FEATURES, gate, recorded
from rung.learn.metrics import deferral, oracle

SEEDS = 20


def main() -> None:
    rows = recorded()
    print(
        f"{len(rows.weak):,} rows: Mixtral {rows.weak.mean():.3%}, GPT-4 {rows.strong.mean():.3%}, "
        f"oracle {oracle(rows.weak, rows.strong):.3%}\n"
    )
    print("| gate, 5 folds by hash, 20 seeds: mean (range) | APGR | CPT50 | CPT80 |\n|---|---|---|---|")
    for name, columns in (("four checks of the text", FEATURES[:4]), ("with length and steps", FEATURES)):
        curves = [deferral(gate(rows, columns, seed), rows.weak, rows.strong) for seed in range(SEEDS)]
        apgr = np.array([curve.apgr for curve in curves])
        half, most = (np.array([curve.cpt(part) for curve in curves]) for part in (0.5, 0.8))
        print(
            f"| {name} | {apgr.mean():.3f} ({apgr.min():.3f} to {apgr.max():.3f}) | "
            f"{half.mean():.1%} ({half.min():.1%} to {half.max():.1%}) | "
            f"{most.mean():.1%} ({most.min():.1%} to {most.max():.1%}) |"
        )


if __name__ == "__main__":
    main()
