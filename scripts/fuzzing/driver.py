"""Asks a target for inputs, gives them to its worker, and keeps what should not have happened."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fuzzing.cases import Case, Target
from fuzzing.child import Child

_FINE = ("value", "refused")
_LARGEST = 16 << 20
"""Bytes of the largest input that is tried, four times what rung reads of an answer or a schema. What mutation makes
larger than that fills the worker's memory while it is unpacked, before rung has any of it."""
_TRIES = 400
"""Runs of a worker that making one input smaller may take."""


@dataclass
class Finding:
    """Something that should not have happened.

    Args:
        kind: `exception`, `hang`, `growth`, `crash`, `reached` (what it had no business with) or `broken` (a promise).
        what: the exception's type, the signal, or a clause.
        where: lines of rung.
        trace: a traceback, where there is one.
        case: the smallest input that was found for it.
        size: bytes of the first such input.
        seen: how many inputs led to it.
    """

    kind: str
    what: str
    where: str
    trace: str
    case: Case
    size: int
    seen: int = 1

    @property
    def line(self) -> str:
        """All of it on one line."""
        place = f" at {self.where}" if self.where else ""
        return f"{self.case.target}: {self.kind}: {self.what}{place}; {self.size:,} -> {len(self.case.data):,} bytes"


@dataclass
class Report:
    """What came of one target."""

    target: str
    inputs: int = 0
    values: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    grown: int = 0
    findings: dict[tuple[str, str, str], Finding] = field(default_factory=dict)

    def row(self) -> str:
        """A line of the table."""
        rate = self.inputs / self.seconds if self.seconds else 0.0
        share = self.values / self.inputs if self.inputs else 0.0
        cells = (
            self.target,
            f"{self.inputs:,}",
            f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}",
            f"{share:.0%}",
            str(len(self.findings)),
            f"{self.slowest * 1000:,.0f}",
            f"{self.grown / (1 << 20):,.0f}",
        )
        return f"| {' | '.join(cells)} |"


def table(reports: Sequence[Report]) -> str:
    """All of it as Markdown."""
    head = "| target | inputs | inputs/s | gave a value | findings | slowest, ms | largest growth, MiB |"
    return "\n".join([head, "|---|---|---|---|---|---|---|", *(report.row() for report in reports)])


def input_of(target: Target, seed: int, number: int) -> Case:
    """Input `number` of a run; the same for the same seed, whatever else is run."""
    return target.make(random.Random(f"{seed}:{target.name}:{number}"))


def fuzz(
    target: Target,
    child: Child,
    *,
    seed: int,
    goes_on: Callable[[int], bool],
    found: Callable[[Finding], None],
    reduces: float,
) -> Report:
    """Run inputs.

    Args:
        target: makes them.
        child: runs them.
        seed: of all of them.
        goes_on: whether to run the input of this number.
        found: called once for each different finding, made small.
        reduces: seconds that making one small may take.
    """
    report = Report(target.name)
    began = time.monotonic()
    number = 0
    while goes_on(number):
        case = input_of(target, seed, number)
        number += 1
        if len(case.data) > _LARGEST:
            continue
        came = child.ask(case)
        report.inputs += 1
        report.values += came["kind"] == "value"
        report.slowest = max(report.slowest, came.get("seconds", 0.0))
        report.grown = max(report.grown, came.get("grown", 0))
        if came["kind"] in _FINE:
            continue
        key = _key(came)
        if key in report.findings:
            report.findings[key].seen += 1
            continue
        finding = Finding(came["kind"], came["what"], came["where"], came["trace"], case, len(case.data))
        report.findings[key] = finding
        finding.case = smaller(case, child, key, reduces)
        found(finding)
    report.seconds = time.monotonic() - began
    return report


def _key(came: dict[str, Any]) -> tuple[str, str, str]:
    """What makes two findings the same. Where memory was taken is known only if somebody looked at the time."""
    return came["kind"], came["what"], "" if came["kind"] == "growth" else came["where"]


def smaller(case: Case, child: Child, key: tuple[str, str, str], seconds: float) -> Case:
    """The smallest input with the same finding that can be had in little time.

    Args:
        case: the input as it was found.
        child: runs the attempts.
        key: kind, what and where of the finding.
        seconds: that it may take.
    """
    until = time.monotonic() + seconds
    tries = 0

    def same(attempt: Case) -> bool:
        nonlocal tries
        tries += 1
        came = child.ask(attempt)
        return came["kind"] not in _FINE and _key(came) == key

    def may() -> bool:
        return tries < _TRIES and time.monotonic() < until

    if not same(case):
        return case
    while may() and (times := int(case.how.get("times", 1))) > 1:
        attempt = Case(case.target, {**case.how, "times": times // 2}, case.data)
        if not same(attempt):
            break
        case = attempt
    size = len(case.data) // 2
    while size and may():
        shorter = next((it for it in _without(case, size) if may() and same(it)), None)
        if shorter is not None:
            case = shorter
            size = min(size, len(case.data) // 2)
        else:
            size //= 2
    return case


def _without(case: Case, size: int) -> Iterator[Case]:
    """The input without each of its pieces of a size, those at the end first."""
    for at in range(((len(case.data) - 1) // size) * size, -1, -size):
        yield Case(case.target, case.how, case.data[:at] + case.data[at + size :])


def keep(finding: Finding, folder: Path, number: int) -> Path:
    """Write a finding down: the input, and beside it what it led to."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{finding.case.target}-{number}.case"
    path.write_bytes(finding.case.dump())
    said: list[Any] = [finding.line, finding.trace]
    path.with_suffix(".txt").write_text("\n\n".join(map(str, said)), encoding="utf-8")
    return path
