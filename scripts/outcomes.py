"""Outcomes of recorded answers: was each valid, right and the same as the next tier's, how sure was the tier, how long
did it take.

    .venv/bin/python scripts/outcomes.py SETS RECORDED                 # into scripts/recorded_outcomes

A recording takes hours and holds answers in full. Its outcomes are what a calibration looks at, and small enough to be
kept: the benchmarks and tests of calibration read them, and load no model. They hold no text, and of what was asked
parts of hashes. SETS has the set's task and rows, and a `rung.toml` that names the tiers. RECORDED holds a recording
`NAME.calls` of each set, and `NAME.rows` with the number behind `--rows` where it had one.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import lzma
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rung.cli import evaluation
from rung.cli.output import Output
from rung.errors import RungError
from rung.learn.climbing import Climb, Climbed, climb
from rung.learn.results import TierResult
from rung.learn.rows import Row
from rung.limits import Cancel

KEPT = Path(__file__).parent / "recorded_outcomes"
_ENDS = ".jsonl.xz"
_KEY = 16
"""Hex digits of a row's hash: enough to tell a few thousand rows apart."""
_DIGITS = 6
"""Significant digits of a number: more than decides between two answers."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """The outcomes of one recording.

    Args:
        name: of the set.
        models: of the tiers, smallest first.
        climbs: of the rows.
    """

    name: str
    models: tuple[str, ...]
    climbs: tuple[Climb, ...] = field(repr=False)


def kept(folder: Path = KEPT) -> Iterator[Recorded]:
    """The outcomes that are kept, by name of the set."""
    for path in sorted(folder.glob(f"*{_ENDS}")):
        yield read(path)


def read(path: Path) -> Recorded:
    """The outcomes in a file. Of a row there are only key and group."""
    with lzma.open(path, "rt", encoding="utf-8") as file:
        head, *lines = [json.loads(line) for line in file]
    climbs = [_climb(line, number, head["models"]) for number, line in enumerate(lines, 1)]
    return Recorded(path.name.removesuffix(_ENDS), tuple(head["models"]), tuple(climbs))


def write(recorded: Recorded, folder: Path) -> Path:
    """Keep outcomes; the path of their file."""
    path = folder / f"{recorded.name}{_ENDS}"
    folder.mkdir(parents=True, exist_ok=True)
    lines: list[dict[str, Any]] = [{"models": recorded.models}]
    for one in recorded.climbs:
        group = one.row.group and hashlib.sha256(one.row.group.encode()).hexdigest()[:_KEY]
        asked = {"key": one.row.key[:_KEY], "group": group}
        lines.append({**asked, "steps": [_facts(step) for step in one.steps], "alone": _facts(one.alone)})
    with lzma.open(path, "wt", encoding="utf-8", preset=9) as file:
        file.writelines(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    return path


_FACTS = ("asked", "valid", "right", "agrees", "seconds", "calls", "input_tokens", "output_tokens")


def _facts(result: TierResult) -> dict[str, Any]:
    """What is kept of a result."""
    features = {name: _short(value) for name, value in result.features.items()}
    return {name: _short(getattr(result, name)) for name in _FACTS} | {"features": features}


def _short(value: Any) -> Any:
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value


def _climb(line: dict[str, Any], number: int, models: Sequence[str]) -> Climb:
    key, group = line["key"], line["group"]
    steps = [TierResult(number, key, group, name, **each) for name, each in zip(models, line["steps"], strict=True)]
    alone = TierResult(number, key, group, models[-1], **line["alone"])
    return Climb(Row(number, key, (), labelled=alone.right is not None, group=group), tuple(steps), alone)


def recorded(sets: Path, path: Path) -> Recorded:
    """What became of every row of a recording, on its way through the tiers."""
    beside = path.with_suffix(".rows")
    wishes = evaluation.Wishes(
        data=str(sets / f"{path.stem}.jsonl"),
        task=path.stem,
        replay=path,
        config=sets / "rung.toml",
        rows=int(beside.read_text()) if beside.exists() else None,
    )
    with evaluation.prepared(wishes, Output(json=False), Cancel()) as ready:
        models = tuple(str(ready.identities[rung.tier.name].model) for rung in ready.work.ladder.rungs)
        for event in climb(ready.work):
            if isinstance(event, Climbed):
                return Recorded(path.stem, models, event.climbs)
    raise AssertionError("a climb ends with all rows")


def main() -> None:
    """Keep the outcomes of every recording in a folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", type=Path, help="what convert_data.py made, with a rung.toml that names the tiers")
    parser.add_argument("recorded", type=Path, help="folder of the recordings")
    parser.add_argument("--into", type=Path, default=KEPT)
    options = parser.parse_args()
    paths = sorted(options.recorded.glob("*.calls"))
    if not paths:
        parser.error(f"{options.recorded} has no recording NAME.calls; `rung eval --record` makes one")
    for path in paths:
        with contextlib.redirect_stderr(io.StringIO()):
            found = recorded(options.sets, path)
        written = write(found, options.into)
        print(f"{written}: {len(found.climbs):,} rows, {written.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    try:
        main()
    except RungError as error:
        raise SystemExit(f"outcomes.py: error: {error}") from None
