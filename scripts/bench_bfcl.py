"""Function calling on real models: each tier alone, and the ladder.

    .venv/bin/python scripts/bench_bfcl.py --rows 100 --json results.json

A schema that is enforced sends nothing up, so in this ladder the small model's confidence does
(`--min-confidence`, which is not calibrated).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import jsonschema

import rung
from bfcl import Row, right, rows
from rung.ladder import Ladder
from rung.tier import Rung


@dataclass(frozen=True)
class Result:
    """What one ladder did on all rows."""

    name: str
    rows: int
    right: int
    out_of_schema: int
    unanswered: int
    escalated: int
    seconds: list[float]


def measure(name: str, ladder: Ladder, asked: list[Row]) -> Result:
    """Run every row, one after the other."""
    ladder.warm()
    good = broken = unanswered = escalated = 0
    seconds = []
    for i, row in enumerate(asked, 1):
        began = time.perf_counter()
        outcome = ladder.run(row.prompt, row.schema, system=row.system, max_tokens=512)
        seconds.append(time.perf_counter() - began)
        validator = jsonschema.Draft202012Validator(row.schema)
        answers = [a.text for a in outcome.attempts if a.text is not None and a.candidate.finish == "stop"]
        broken += any(not validator.is_valid(json.loads(text)) for text in answers)
        unanswered += not outcome.accepted
        good += outcome.accepted and right(row, outcome.value)
        escalated += len({a.tier for a in outcome.attempts}) > 1
        if sys.stderr.isatty():
            print(f"\r{name}: {i}/{len(asked)}", end="", file=sys.stderr)
    return Result(name, len(asked), good, broken, unanswered, escalated, seconds)


def line(result: Result) -> str:
    """A row of the table."""
    share = f"{result.escalated / result.rows:.0%}" if result.name == "the ladder" else ""
    mean, worst = f"{statistics.mean(result.seconds):.2f}", f"{max(result.seconds):.2f}"
    right_share = f"{result.right / result.rows:.0%}"
    cells = (result.name, right_share, result.out_of_schema, result.unanswered, share, mean, worst)
    return f"| {' | '.join(str(c) for c in cells)} |"


def main() -> None:
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--small", default="qwen2.5-coder-0.5b")
    parser.add_argument("--mid", default="qwen2.5-coder-1.5b")
    parser.add_argument("--also", action="append", default=[], help="a further model, alone")
    parser.add_argument("--min-confidence", type=float, default=0.5, help="of the small tier; uncalibrated")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    asked = rows(options.rows)
    small, mid = rung.llama(options.small, name="small"), rung.llama(options.mid, name="mid")
    ladders = {name: Ladder(rung.llama(name)) for name in options.also}
    ladders[f"{options.small} alone"] = Ladder(small)
    ladders[f"{options.mid} alone"] = Ladder(mid)
    ladders["the ladder"] = Ladder(Rung(small, min_confidence=options.min_confidence), mid)
    print("| | right | out of schema | unanswered | escalated | mean s | worst s |\n|---|---|---|---|---|---|---|")
    results = []
    for name, ladder in ladders.items():
        results.append(measure(name, ladder, asked))
        print(line(results[-1]), flush=True)
        if name in options.also:
            ladder.close()
    for ladder in ladders.values():
        ladder.close()
    if options.json:
        options.json.write_text(json.dumps([asdict(r) for r in results], indent=1))


if __name__ == "__main__":
    main()
