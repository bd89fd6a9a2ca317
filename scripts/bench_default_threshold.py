"""What default thresholds would have done on recorded answers, and which thresholds the development sets ask for.

    .venv/bin/python scripts/record_outputs.py --into recordings
    .venv/bin/python scripts/bench_default_threshold.py recordings                 # the shipped ones, on the test sets
    .venv/bin/python scripts/bench_default_threshold.py recordings --choose        # what the development sets say

An answer of the ladder differs where the small model's was accepted and isn't the mid model's. No model is loaded.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from public_sets import same
from rung.tiers.llama.host.defaults import FEATURES, Kind, threshold_of
from rung.types.score import FEATURES as KNOWN

MID = "qwen2.5-coder-1.5b"
SMALL = {"smollm2-135m": ("llama", 134_515_008), "qwen2.5-coder-0.5b": ("qwen2", 630_167_424)}
"""Architecture and number of weights, as the files say them."""
KINDS: Mapping[str, Kind] = {
    "reviews": "choice",
    "booleans": "choice",
    "navigate": "choice",
    "intents": "choice",
    "domains": "choice",
    "dates": "choice",
    "numbers": "scalar",
    "objects": "scalar",
    "arithmetic": "scalar",
    "guests": "scalar",
    "tables": "object",
    "functions": "object",
}
_DIFFER = 0.03


@dataclass(frozen=True)
class Pair:
    """What the small model and the mid model said to one question."""

    small: dict[str, Any]
    mid: dict[str, Any]

    @property
    def differs(self) -> bool:
        """Whether the ladder differs from the mid model alone, should it accept the small model's answer."""
        return not (self.mid["valid"] and same(self.small["value"], self.mid["value"]))


def pairs(folder: Path, model: str, name: str, part: str) -> list[Pair]:
    """The questions of a set that both models answered."""
    found = []
    for which in (model, MID):
        path = folder / f"{name}-{part}.{which}.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        found.append({row["key"]: row for row in map(json.loads, lines)})
    small, mid = found
    return [Pair(small[key], mid[key]) for key in small if key in mid]


def by_set(folder: Path, model: str, kind: Kind, part: str) -> Iterator[tuple[str, list[Pair]]]:
    """The sets of a kind that hold any pair."""
    for name in (name for name, of in KINDS.items() if of == kind):
        if found := pairs(folder, model, name, part):
            yield name, found


def chosen(rows: Sequence[Pair], feature: str) -> tuple[float, int, int]:
    """The least threshold on a feature at which the share of all rows that differ is within the promise.

    Returns:
        The threshold; how many rows it accepts; how many of those differ.
    """
    scored = [(p.small["features"][feature], p.differs) for p in rows if feature in p.small["features"]]
    losing = sorted((score for score, differs in scored if differs), reverse=True)
    allowed = int(_DIFFER * len(rows))
    above = losing[allowed] if len(losing) > allowed else min((s for s, _ in scored), default=0.0) - 1
    kept = [differs for score, differs in scored if score > above]
    return above, len(kept), sum(kept)


def choose(folder: Path) -> None:
    """Print, per kind and model, what each feature would ask for."""
    print("| kind | model | rows | feature | above | kept | of them differ |\n|---|---|---|---|---|---|---|")
    for kind in sorted(set(KINDS.values())):
        for model in SMALL:
            rows = [p for _, found in by_set(folder, model, kind, "development") for p in found if p.small["valid"]]
            for feature in KNOWN:
                above, kept, differ = chosen(rows, feature)
                print(f"| {kind} | {model} | {len(rows)} | {feature} | {above:.4f} | {kept} | {differ} |")


def report(name: str, model: str, kind: Kind, rows: Sequence[Pair]) -> str:
    """A row of the table: the ladder without a threshold, with the shipped one, and the mid model alone."""
    threshold = threshold_of(*SMALL[model], kind)
    kept = [p.small["valid"] and threshold.accepts(threshold.weigh(p.small["features"])) for p in rows]
    valid = [bool(p.small["valid"]) for p in rows]
    cells = [name, kind, model, str(len(rows)), _right(rows, [False] * len(rows))]
    for accepted in (valid, kept):
        differ = sum(k and p.differs for k, p in zip(accepted, rows, strict=True))
        up = len(rows) - sum(accepted)
        seconds = sum(p.small["seconds"] + (0 if k else p.mid["seconds"]) for k, p in zip(accepted, rows, strict=True))
        cells += [_right(rows, accepted), f"{up / len(rows):.0%}", f"{differ}", f"{seconds / len(rows):.1f}"]
    cells.append(f"{sum(p.mid['seconds'] for p in rows) / len(rows):.1f}")
    return f"| {' | '.join(cells)} |"


def _right(rows: Sequence[Pair], accepted: Sequence[bool]) -> str:
    right = sum((p.small if k else p.mid)["right"] for k, p in zip(accepted, rows, strict=True))
    return f"{right / len(rows):.0%}"


def table(folder: Path, part: str) -> None:
    """Print what the shipped thresholds do on the sets of a part, and over all sets of a kind."""
    head = (
        "| set | kind | small model | rows | mid alone: right | without: right | sent up | differ | s | with: right |"
    )
    print(f"{head} sent up | differ | s | mid alone: s |\n|{'---|' * 14}")
    for model in SMALL:
        for kind in sorted(set(KINDS.values())):
            found = list(by_set(folder, model, kind, part))
            for name, rows in found:
                print(report(name, model, kind, rows))
            if len(found) > 1:
                print(report("all", model, kind, [p for _, rows in found for p in rows]))


def main() -> None:
    """Replay."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", type=Path, help="folder that record_outputs.py wrote")
    parser.add_argument("--choose", action="store_true", help="what the development sets ask for")
    parser.add_argument("--part", default="test", choices=("test", "development"))
    options = parser.parse_args()
    print(f"default features: {', '.join(f'{kind} {feature}' for kind, feature in FEATURES.items())}\n")
    if options.choose:
        choose(options.recordings)
    else:
        table(options.recordings, options.part)


if __name__ == "__main__":
    main()
