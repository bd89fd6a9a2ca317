"""What a calibration promises, and what came of it, on recorded answers of real models: many splits of one recording.

    .venv/bin/python scripts/bench_calibrate.py

The outcomes that are replayed are kept in `scripts/recorded_outcomes`. What makes them anew, in hours:

    .venv/bin/python scripts/convert_data.py clinc150 SETS
    .venv/bin/rung eval SETS/clinc150.jsonl --task clinc150 --rows 1500 --record RECORDED/clinc150.calls \
        --config SETS/rung.toml
    .venv/bin/python scripts/outcomes.py SETS RECORDED

A split calibrates on some groups of rows and looks at the others: what was lost there, and how much stayed with the
small tier, beside what the best threshold in hindsight keeps. Few rows can't certify that one, whoever looks at them:
a test that errs in one of ten cases passes it in one of ten. So the best threshold that such a test passes in half of
all cases stands beside it. On the few rows of one side a promise that holds can look
broken. So it is also tried as it is meant: rows are drawn with replacement from the recording, which is then all there
is, and what the thresholds lose of it is known exactly.
No model is loaded.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binom

from outcomes import KEPT, kept
from rung.learn.bounds import Binomial
from rung.learn.calibrating import calibrate
from rung.learn.climbing import Climb
from rung.learn.outcomes import Outcomes
from rung.learn.questions import Kind, Question
from rung.learn.splits import FEWEST_TO_FIT

WITHIN = 0.03
DELTA = 0.1
_CERTIFY = 2 / 3
"""Share of the rows that certify; the others choose. Of too few to choose on, all certify."""
_NEARLY = 0.97
"""Share of the last tier's accuracy that counts as reached."""


@dataclass(frozen=True)
class Split:
    """What one split showed on the rows that took no part in it.

    Args:
        promised: whether anything was.
        lost: share of the rows that the ladder loses.
        kept: share that the small tier answers.
        most: share of all rows that the best threshold on the same score keeps, chosen in hindsight within the same
            limit. On the few rows that took no part a threshold of luck would look best.
        provable: the same within the loss that so many certify rows pass in half of all cases.
        accuracy: share of right answers over the last tier's.
        hardly: whether the tool said unasked that even the best threshold sends up more than half.
        seconds: mean of a row on the ladder, from the first tier's answer to the one that it ends with, over that of
            the last tier alone.
    """

    promised: bool
    lost: float
    kept: float
    most: float
    provable: float
    accuracy: float
    hardly: bool
    seconds: float


def split(climbs: Sequence[Climb], rows: int, kind: Kind, seed: int) -> Split:
    """Calibrate on about so many rows, whole groups of them, and look at the others."""
    groups = sorted({climb.row.group or climb.row.key for climb in climbs})
    random.Random(seed).shuffle(groups)
    of: dict[str, list[Climb]] = {}
    for one in climbs:
        of.setdefault(one.row.group or one.row.key, []).append(one)
    taking: list[Climb] = []
    rest: list[Climb] = []
    for group in groups:
        (taking if len(taking) < rows else rest).extend(of[group])
    found = calibrate(taking, Question(WITHIN, DELTA, kind))
    there, everybody = (Outcomes.of(some, [tier.fitted for tier in found.tiers], kind) for some in (rest, climbs))
    answered, lost = there.under([tier.above for tier in found.tiers])
    right = [
        (one.steps[place] if place < len(one.steps) - 1 else one.steps[-1]).right is True if place >= 0 else False
        for one, place in zip(rest, answered.tolist(), strict=True)
    ]
    mid = np.mean([one.alone.right is True for one in rest])
    took = [
        sum(step.seconds for step in one.steps[: place + 1 if place >= 0 else len(one.steps)])
        for one, place in zip(rest, answered.tolist(), strict=True)
    ]
    return Split(
        found.promised,
        float(lost.mean()),
        float((answered == 0).mean()),
        most(everybody, WITHIN),
        most(everybody, passable(rows if rows < FEWEST_TO_FIT else round(_CERTIFY * rows))),
        float(np.mean(right) / mid) if mid else 1.0,
        found.hardly_pays,
        float(np.mean(took) / np.mean([one.alone.seconds for one in rest])),
    )


def holds(climbs: Sequence[Climb], rows: int, kind: Kind, seed: int) -> bool:
    """Whether what is promised from rows drawn with replacement is so of all rows there are."""
    dice = random.Random(seed)
    taking = []
    for number in range(rows):
        one = dice.choice(climbs)
        drawn = replace(one.row, number=number, key=f"{number}:{one.row.key}", group=None)
        taking.append(replace(one, row=drawn))
    found = calibrate(taking, Question(WITHIN, DELTA, kind))
    if not found.promised:
        return True
    everybody = Outcomes.of(climbs, [tier.fitted for tier in found.tiers], kind)
    _, lost = everybody.under([tier.above for tier in found.tiers])
    return float(lost.mean()) <= WITHIN


def passable(rows: int) -> float:
    """The loss that an exact binomial test of so many rows passes in half of all cases, at the limit in one of ten."""
    losses = Binomial.of(rows, WITHIN, DELTA).allowed
    return float(brentq(lambda loss: binom.cdf(losses, rows, loss) - 0.5, 0, WITHIN)) if losses >= 0 else 0.0


def most(every: Outcomes, limit: float) -> float:
    """The share that the best threshold of the first tier keeps within a limit, when all answers are known."""
    order = np.argsort(-every.scores[:, 0], kind="stable")
    score, extra = every.scores[order, 0], every.losses[order, 0].astype(int) - every.base[order].astype(int)
    lost = int(every.base.sum()) + np.cumsum(extra)
    ends = np.append(score[1:] != score[:-1], True) & np.isfinite(score)
    within = ends & (lost <= limit * len(score) + 1e-9)
    return float((np.flatnonzero(within).max(initial=-1) + 1) / len(score))


def nearly(climbs: Sequence[Climb]) -> float:
    """The least share that any threshold on the least sure token sends up for 97% of the last tier's accuracy."""
    score = np.array([one.steps[0].features.get("allowed_minimum", -np.inf) for one in climbs])
    small = np.array([one.steps[0].right is True for one in climbs], dtype=int)
    mid = np.array([one.steps[-1].right is True for one in climbs], dtype=int)
    order = np.argsort(-score, kind="stable")
    right = np.concatenate([[0], np.cumsum(small[order])]) + mid.sum() - np.concatenate([[0], np.cumsum(mid[order])])
    enough = np.flatnonzero(right >= _NEARLY * mid.sum())
    return 1 - float(enough.max(initial=0) / len(climbs))


HEAD = (
    "| set | rows | small, mid right; same | loss, calibrated on | lost | within 3% | holds | promised | kept | best | "
    "kept / best | provable | kept / provable | right / mid's | 97% of mid sends up | said: hardly pays | "
    "seconds / mid's |"
)


def lines(name: str, climbs: Sequence[Climb], rows: int, splits: int) -> Iterator[str]:
    """A line of the table for each kind of loss."""
    small, mid = (float(np.mean([c.steps[p].right is True for c in climbs])) for p in (0, -1))
    agrees = float(np.mean([c.steps[0].agrees is True for c in climbs]))
    for kind in ("differs", "worse"):
        found = [split(climbs, rows, cast(Kind, kind), seed) for seed in range(splits)]
        held = np.mean([holds(climbs, rows, cast(Kind, kind), seed) for seed in range(splits)])
        kept, best, provable = (float(np.mean([getattr(s, of) for s in found])) for of in ("kept", "most", "provable"))
        cells = (
            name,
            f"{len(climbs):,}",
            f"{small:.0%} {mid:.0%} {agrees:.0%}",
            f"{kind}, {rows}",
            spread([s.lost for s in found]),
            f"{np.mean([s.lost <= WITHIN for s in found]):.0%}",
            f"{held:.0%}",
            f"{np.mean([s.promised for s in found]):.0%}",
            spread([s.kept for s in found]),
            f"{best:.0%}",
            ratio(kept, best),
            f"{provable:.0%}",
            ratio(kept, provable),
            spread([s.accuracy for s in found]),
            f"{nearly(climbs):.0%}",
            f"{np.mean([s.hardly for s in found]):.0%}",
            f"{np.mean([s.seconds for s in found]):.2f}",
        )
        yield f"| {' | '.join(cells)} |"


def ratio(kept: float, best: float) -> str:
    return f"{kept / best:.2f}" if best > 0 else "-"


def spread(shares: Sequence[float]) -> str:
    """Mean, and where 90% of the splits lie."""
    low, high = np.quantile(shares, [0.05, 0.95])
    return f"{np.mean(shares):.1%} ({low:.1%} to {high:.1%})"


def main() -> None:
    """One line for each recording, kind of loss and number of rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", type=Path, default=KEPT, dest="folder", help="folder of the outcomes")
    parser.add_argument("--set", action="append", dest="only", help="one of the sets; all by default")
    parser.add_argument("--rows", type=int, nargs="+", default=[300], help="rows that a split calibrates on")
    parser.add_argument("--splits", type=int, default=200)
    options = parser.parse_args()
    every = list(kept(options.folder))
    names = [recorded.name for recorded in every]
    if not every or {*(options.only or ())} - {*names}:
        parser.error(
            f"{options.folder} has the outcomes of {', '.join(names) or 'no set'}; scripts/outcomes.py makes more"
        )
    print(f"{HEAD}\n|{'---|' * (HEAD.count('|') - 1)}")
    for recorded in every:
        climbs = recorded.climbs
        for rows in options.rows:
            if rows < len(climbs) and (not options.only or recorded.name in options.only):
                for line in lines(recorded.name, climbs, rows, options.splits):
                    print(line, flush=True)


if __name__ == "__main__":
    main()
