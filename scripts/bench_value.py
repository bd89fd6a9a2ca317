"""Whether a score that learns what climbing is worth beats one that says how sure the small tier is.

    .venv/bin/python scripts/bench_value.py

A third of the rows fits, and the others are sent up in the order of a score. Printed is the area under the deferral
curve (accuracy against the share that is sent up) over that of a random order, in points: for the least sure token as
it is, for the fitted probability that the small tier is right, and for the fitted gain of a climb (small tier right
minus last tier right). No model is loaded.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bench_calibrate import spread
from outcomes import KEPT, kept
from rung.learn.climbing import Climb

_FAR = 50.0
"""Where log-probabilities are cut: below it nothing tells one unsure answer from another."""


def area(score: np.ndarray, small: np.ndarray, last: np.ndarray) -> float:
    """Mean accuracy over all shares that are sent up, the lowest scores first, over that of a random order."""
    order = np.argsort(-score, kind="stable")
    kept = np.concatenate([[0], np.cumsum(small[order])])
    sent = last.sum() - np.concatenate([[0], np.cumsum(last[order])])
    return float((kept + sent).mean() / len(small) - (small.mean() + last.mean()) / 2)


def areas(climbs: Sequence[Climb], splits: int) -> dict[str, list[float]]:
    """The area that each score reaches on the rows that took no part, for each split."""
    names = sorted({name for climb in climbs for name in climb.steps[0].features})
    features = np.array([[climb.steps[0].features.get(name, -_FAR) for name in names] for climb in climbs])
    features = np.clip(np.nan_to_num(features), -_FAR, _FAR)
    small, last = (np.array([climb.steps[at].right is True for climb in climbs], float) for at in (0, -1))
    found: dict[str, list[float]] = {}
    dice = np.random.default_rng(0)
    for _ in range(splits):
        order = dice.permutation(len(climbs))
        fit, rest = order[: len(order) // 3], order[len(order) // 3 :]
        if len(np.unique(small[fit])) < 2:
            continue  # nothing to learn from a third that is all right or all wrong
        sure = make_pipeline(StandardScaler(), LogisticRegression(C=0.5)).fit(features[fit], small[fit])
        gain = make_pipeline(StandardScaler(), Ridge(alpha=30)).fit(features[fit], (small - last)[fit])
        scores = {
            "least sure token": features[rest, names.index("allowed_minimum")],
            "fitted: small is right": sure.predict_proba(features[rest])[:, 1],
            "fitted: gain of a climb": gain.predict(features[rest]),
        }
        for name, score in scores.items():
            found.setdefault(name, []).append(area(score, small[rest], last[rest]))
    return found


def main() -> None:
    """One line for each recording and score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", type=Path, default=KEPT, dest="folder", help="folder of the outcomes")
    parser.add_argument("--splits", type=int, default=200)
    options = parser.parse_args()
    every = list(kept(options.folder))
    if not every:
        parser.error(f"{options.folder} has no outcomes; scripts/outcomes.py makes them")
    print("| set | rows | score | area over a random order |\n|---|---|---|---|")
    for recorded in every:
        climbs = recorded.climbs
        for name, found in areas(climbs, options.splits).items():
            print(f"| {recorded.name} | {len(climbs):,} | {name} | {spread(found)} |", flush=True)


if __name__ == "__main__":
    main()
