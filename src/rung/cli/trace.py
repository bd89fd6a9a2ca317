"""The table of `--trace`: one line for every attempt, with what was wrong below it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rung.cli.tables import UNKNOWN, aligned
from rung.errors import TierError
from rung.hiding import hide
from rung.types import Attempt, Outcome, Threshold, Usage, Zone
from rung.visible import line

_LONGEST_SAID = 300
"""Characters of an endpoint's own words that are shown. The fault comes first, and the prompt, which some repeat, comes
after it."""


def table(outcome: Outcome[Any]) -> str:
    """The trace of a request, aligned for a terminal and as readable in a file.

    Args:
        outcome: of the request.
    """
    columns = {
        "#": [str(a.number) for a in outcome.attempts],
        "tier": [a.tier for a in outcome.attempts],
        "verdict": [str(a.verdict) for a in outcome.attempts],
        "reason": [a.reason for a in outcome.attempts],
        "TTFT": [_seconds(a.ttft) for a in outcome.attempts],
        "seconds": [_seconds(a.seconds if a.sent or a.error else None) for a in outcome.attempts],
        "tokens in": [_count(a.usage.input_tokens) for a in outcome.attempts],
        "out": [_count(a.usage.output_tokens) for a in outcome.attempts],
    }
    if outcome.cost or any(a.cost is None for a in outcome.attempts):
        columns["cost"] = [UNKNOWN if a.cost is None else f"${a.cost:f}" for a in outcome.attempts]
    if any(a.confidence is not None for a in outcome.attempts):
        columns["confidence"] = [UNKNOWN if a.confidence is None else f"{a.confidence:.2f}" for a in outcome.attempts]
    head, *rows = aligned(tuple(columns), tuple(zip(*columns.values(), strict=True)), words=4).splitlines()
    lines = [head]
    for attempt, row in zip(outcome.attempts, rows, strict=True):
        lines += [row, *(f"     {detail}" for detail in _details(attempt))]
    return "\n".join([*lines, "", *map(line, _summary(outcome))])


def _details(attempt: Attempt) -> Iterator[str]:
    for issue in attempt.issues:
        yield f"{issue} ({issue.code.partition('(')[0]})".replace("\n", "\n     ")
    if attempt.detail:
        yield attempt.detail
    if attempt.threshold is not None and attempt.answered:
        yield _sureness(attempt.score, attempt.probability, attempt.threshold)
    if isinstance(attempt.error, TierError) and attempt.error.said is not None:
        yield f"it said: {line(hide(_cut(attempt.error.said.text)))}"
    if attempt.load_seconds >= 0.05:
        yield f"loading the model took {attempt.load_seconds:.1f} s"
    if attempt.consent:
        yield f"allowed by {attempt.consent}"
    yield from attempt.notes


def _sureness(score: float | None, probability: float | None, threshold: Threshold) -> str:
    known = "score unknown" if score is None else f"score {score:.3f}"
    right = "" if probability is None else f", right with a probability of {probability:.2f}"
    return f"{known}{right}; accepted above {threshold.above:.3f}: {threshold.origin or 'a threshold of the request'}"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_SAID else f"{text[: _LONGEST_SAID - 1]}…"


def _summary(outcome: Outcome[Any]) -> list[str]:
    vouched = ", ".join(outcome.checked_by) or "nothing but the checks of plain text"
    accepted = f"accepted: {outcome.tier}, checked by {vouched}" if outcome.accepted else "accepted: none"
    cost = "" if outcome.cost == 0 else f", {'an unknown cost' if outcome.cost is None else f'${outcome.cost:f}'}"
    return [
        accepted,
        f"in all: {outcome.seconds:.1f} s, {_tokens(outcome.usage)}{cost}",
        f"left this machine: {_left(outcome)}",
    ]


def _left(outcome: Outcome[Any]) -> str:
    if outcome.left_machine is False:
        return "no"
    gone = [a for a in outcome.attempts if a.sent and a.stays_here is not True]
    beyond = [a for a in gone if a.zone > Zone.HOST] or gone
    places = ", ".join(dict.fromkeys(a.destination or a.tier for a in beyond))
    return f"handed to {places}" if outcome.left_machine is None else f"yes, to {places}"


def _tokens(usage: Usage) -> str:
    if usage.input_tokens is None or usage.output_tokens is None:
        return "an unknown number of tokens"
    return f"{usage.input_tokens:,} tokens in and {usage.output_tokens:,} out"


def _seconds(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.2f}"


def _count(value: int | None) -> str:
    return UNKNOWN if value is None else f"{value:,}"
