"""What the ledger has of a request, in words."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rung.cli.tables import UNKNOWN, aligned, money
from rung.visible import line

if TYPE_CHECKING:
    from rung.ledger import AttemptRecord, LabelRecord, RequestRecord

_LABEL = 40
"""Most characters of a label that are shown: enough to recognise it. `rung ledger export` has the whole."""

_LEFT = {True: "yes", False: "no", None: "unknown"}


def listing(records: Sequence[RequestRecord]) -> str:
    """Requests, one on each line."""
    # only servers, which people share, know who asked
    shared = any(r.caller for r in records)
    by = ("asked by",) if shared else ()
    labelled = any(r.label for r in records)
    right = ("label",) if labelled else ()
    heads = ("id", "began (UTC)", *by, *right, "task", "answered by", "reason", "left", "attempts", "seconds", "cost")
    rows = [
        (
            r.id,
            _when(r),
            *((r.caller or UNKNOWN,) if shared else ()),
            *((_label(r),) if labelled else ()),
            r.task or UNKNOWN,
            r.tier or "nobody",
            r.reason,
            _LEFT[r.left_machine],
            str(len(r.attempts)),
            f"{r.seconds:.2f}",
            money(r.cost),
        )
        for r in records
    ]
    return aligned(heads, rows, words=6 + len(by) + len(right))


def receipt(record: RequestRecord) -> str:
    """Everything about one request."""
    task = f", task {record.task}" if record.task else ""
    vouched = f", checked by {', '.join(record.checked_by)}" if record.checked_by else ""
    answered = f"accepted: {record.tier}{vouched}" if record.accepted else f"accepted: none ({record.reason})"
    above = [
        f"{record.id}, began {_when(record)} UTC{task}",
        *([f"asked by {record.caller}"] if record.caller else []),
        *([f"goes on from {record.continues}"] if record.continues else []),
        answered,
        *([f"labelled {_when(record.label)} UTC: {_label(record)}"] if record.label else []),
        f"in all: {record.seconds:.2f} s, cost {money(record.cost)}",
        f"left this machine: {_LEFT[record.left_machine]}",
        *(f"  {said}" for said in why_it_left(record)),
        "",
    ]
    details = [said for a in record.attempts for said in _details(a)]
    # each on its own line: a name with a line break in it could forge one, such as "left this machine: no"
    return "\n".join([*map(line, above), _attempts(record), *map(line, details), *map(line, _shadow(record))])


def _shadow(record: RequestRecord) -> Iterator[str]:
    """The result of the request's shadow."""
    shadow = record.shadow
    if record.fell and shadow is None:
        yield "shadow: the request was drawn for one; it has no result, or none yet"
    if shadow is None:
        return
    verdict = {True: "says the same", False: "says something else", None: "gave nothing to compare"}[shadow.agrees]
    yield f"shadow: {shadow.against} {verdict}" + (f" ({shadow.reason})" if shadow.reason else "")
    for a in shadow.attempts:
        yield f"  {a.tier}: {a.reason}, {a.seconds:.2f} s, cost {money(a.cost)}, not part of the request's sums"


def why_it_left(record: RequestRecord) -> list[str]:
    """Why a request left this machine, in sentences; empty if it stayed."""
    beside = record.shadow.attempts if record.shadow is not None else ()
    hops = [a for a in (*record.attempts, *beside) if a.sent and a.stays_here is not True]
    return [sentence for hop in hops for sentence in _hop(hop, record.attempts)]


def _hop(hop: AttemptRecord, attempts: tuple[AttemptRecord, ...]) -> Iterator[str]:
    place = f"{hop.destination} ({hop.zone})" if hop.destination else f"the zone {hop.zone}"
    what = "the prompt" if hop.prompt_bytes is None else f"a prompt of {hop.prompt_bytes:,} bytes"
    yield f"attempt {hop.number}, tier {hop.tier}, sent {what} to {place}"
    if hop.stays_here is None:
        yield "whether the endpoint passed them on to another machine is not known"
    before = Counter(_failed(a) for a in attempts if a.number < hop.number and a.tier != hop.tier)
    yield from (f"before it, {said}" + (f" ({times} times)" if times > 1 else "") for said, times in before.items())
    if not before:
        yield "no tier stands before it"
    if hop.constraint is None:
        yield f"it gave no answer: {hop.reason}"
    if hop.consent:
        yield f"it was allowed by {hop.consent}"
    bound = f", and could have cost {money(hop.bound)}" if hop.bound is not None else ""
    yield f"it cost {'an unknown amount' if hop.cost is None else money(hop.cost)}{bound}"


def _failed(a: AttemptRecord) -> str:
    """The result of a failed attempt, in a clause."""
    if a.issues:
        return f"{a.tier}'s answer failed {_issues(a)}"
    return f"{a.tier} gave no usable answer: {a.reason}"


def _issues(a: AttemptRecord) -> str:
    return ", ".join(f"{code} at {path}" if path else code for code, path in a.issues)


def _attempts(record: RequestRecord) -> str:
    heads = ("#", "tier", "verdict", "reason", "TTFT", "seconds", "tokens in", "out", "confidence", "cost")
    rows = [
        (
            str(a.number),
            a.tier,
            a.verdict or UNKNOWN,
            a.reason,
            _number(a.ttft),
            _number(a.seconds if a.sent else None),
            UNKNOWN if a.input_tokens is None else f"{a.input_tokens:,}",
            UNKNOWN if a.output_tokens is None else f"{a.output_tokens:,}",
            _number(a.confidence),
            money(a.cost) if a.sent else UNKNOWN,
        )
        for a in record.attempts
    ]
    return aligned(heads, rows, words=4)


def _details(a: AttemptRecord) -> Iterator[str]:
    facts = [f"model {a.model}"] if a.model else []
    facts += [f"weights sha256 {a.weights}"] if a.weights else []
    facts += [f"loading took {a.load_seconds:.1f} s"] if a.load_seconds >= 0.05 else []
    facts += [f"failed {_issues(a)}"] if a.issues else []
    facts += [_sureness(a)] if a.threshold is not None and a.constraint is not None else []
    if facts:
        yield f"  {a.number}: {'; '.join(facts)}"


def _sureness(a: AttemptRecord) -> str:
    right = "" if a.probability is None else f", right with a probability of {a.probability:.2f}"
    score, above = _figure(a.score), _figure(a.threshold)
    return f"score {score}{right}, accepted above {above}: {a.threshold_origin or 'a threshold of the request'}"


def _figure(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.3f}"


def _label(record: RequestRecord) -> str:
    """The right answer that a person gave, in a table's cell."""
    if record.label is None:
        return UNKNOWN
    if record.label.expected is None:
        return "(not kept)"
    expected = json.loads(record.label.expected)
    text = expected if isinstance(expected, str) else record.label.expected
    return text if len(text) <= _LABEL else f"{text[: _LABEL - 1]}…"


def _when(record: RequestRecord | LabelRecord) -> str:
    return f"{datetime.fromtimestamp(record.at / 1000, UTC):%Y-%m-%d %H:%M:%S}"


def _number(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.2f}"
