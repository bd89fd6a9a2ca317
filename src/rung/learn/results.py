"""The results of an evaluation, row by row, and the file that keeps them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from rung.errors import ConfigError
from rung.files import full, read_bounded
from rung.parsing import parse_json
from rung.types import Score
from rung.writing import write_whole

LADDER = "ladder"
"""Stands for the whole ladder instead of a tier's name."""

_VERSION = 1
_HINT = "name a file that `rung eval DATA --json > FILE` wrote"
_MOST = 1 << 30
"""Bytes of a file of results. A million rows of two tiers take half of it."""


@dataclass(frozen=True, slots=True)
class TierResult:
    """What one tier, or the whole ladder, answered to one row.

    Args:
        row: the row's number.
        key: identity of what was asked.
        group: the group that the row belongs to.
        tier: the tier that was asked, including repairs; `LADDER` for all tiers by the ladder's rules.
        answered_by: the tier whose answer was accepted; `None` if none was.
        asked: whether any tier was given the call at all. If none was, nothing is known of this row.
        valid: whether an answer passed validation.
        right: whether it is the right one; `None` if unknown. Without a valid answer it isn't right.
        agrees: whether it is what the next tier says by itself, or for the ladder the last one; `None` for the last
            tier, and if the contract has no equality.
        reason: why the answer was accepted or not, in the engine's words.
        features: of the accepted answer's score, by name; empty if the tier reports no log-probabilities.
        calls: number of calls that it took.
        seconds: of the tiers' time.
        latency: seconds of wall time, with as many calls at once as the evaluation made.
        input_tokens: of all calls; `None` if unknown.
        output_tokens: of all calls; `None` if unknown.
        cost: US dollars as a decimal number; `None` if unknown.
        value_hash: of the value, so that answers can be compared without keeping them.
        value: the answer, if the user asked to keep texts.
        problem: why the answer couldn't be graded; empty if it was.
    """

    row: int
    key: str
    group: str
    tier: str
    answered_by: str | None = None
    asked: bool = True
    valid: bool = False
    right: bool | None = None
    agrees: bool | None = None
    reason: str = ""
    features: Mapping[str, float] = field(default_factory=dict)
    calls: int = 0
    seconds: float = 0.0
    latency: float = 0.0
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: str | None = None
    value_hash: str | None = None
    value: Any = field(default=None, repr=False)
    problem: str = ""


@dataclass(frozen=True, slots=True)
class TierFacts:
    """The facts of a tier that was evaluated.

    Args:
        name: of the tier.
        zone: how far a prompt travels to it.
        identity: a hash of everything that its answers depend on.
        model: as its table names it.
        weights: sha256 of its model file.
        repairs: how often a rejected answer goes back to it.
        min_confidence: least confidence that the ladder accepts from it.
    """

    name: str
    zone: str
    identity: str
    model: str | None = None
    weights: str | None = None
    repairs: int = 1
    min_confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Results:
    """An evaluation: what was asked of which tiers, and the results.

    Args:
        made: when, as ISO 8601 in UTC.
        data: sha256 of the data file.
        rows: number of rows that were asked.
        labelled: number of those with a right answer.
        bad: line and reason of each unusable row.
        check: the name of the check that compared answers with the expected ones.
        together: most calls that were under way at once.
        tiers: smallest first.
        results: of each row and tier, and of the ladder.
    """

    made: str
    data: str
    rows: int
    labelled: int
    bad: tuple[tuple[int, str], ...]
    check: str
    together: int
    tiers: tuple[TierFacts, ...]
    results: tuple[TierResult, ...] = field(repr=False)

    def of(self, tier: str) -> list[TierResult]:
        """The results of one tier, or of the ladder, in the order of the rows."""
        return sorted((r for r in self.results if r.tier == tier), key=lambda r: r.row)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the tiers, smallest first."""
        return tuple(tier.name for tier in self.tiers)

    def as_json(self, *, texts: bool = False) -> dict[str, Any]:
        """The object that `read_results` reads.

        Args:
            texts: whether to include the answers themselves.
        """
        results = self.results if texts else tuple(replace(result, value=None) for result in self.results)
        return {"rung": "results", "version": _VERSION, **asdict(replace(self, results=results))}


def read_results(path: str) -> Results:
    """Read the results from a file: what `rung eval --json` printed.

    Args:
        path: of the file.

    Raises:
        ConfigError: it can't be read, or contains something else.
    """
    where = full(path, "the results")
    try:
        found = parse_json(read_bounded(where, _MOST, "the results"), str(where))
    except ConfigError as error:
        raise ConfigError(error.message, hint=error.hint or _HINT) from None
    if isinstance(found, dict) and isinstance(found.get("results"), dict):
        found = found["results"]  # with the summary beside it, as the command prints it
    if not isinstance(found, dict) or found.get("rung") != "results":
        raise ConfigError(f"{where} holds no results of an evaluation", hint=_HINT)
    if found.get("version") != _VERSION:
        raise ConfigError(f"{where} has results of another version of rung", hint="evaluate again")
    try:
        return Results(
            **{
                **_only(Results, found),
                "bad": tuple((int(line), str(reason)) for line, reason in found["bad"]),
                "tiers": tuple(TierFacts(**_only(TierFacts, tier)) for tier in found["tiers"]),
                "results": tuple(_results(found["results"])),
            }
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ConfigError(f"{where} has results that something else changed", hint="evaluate again") from None


def _results(rows: Sequence[Mapping[str, Any]]) -> Iterator[TierResult]:
    for row in rows:
        yield TierResult(**_only(TierResult, row))


def _only(kind: type[Any], found: Mapping[str, Any]) -> dict[str, Any]:
    names = {f.name for f in fields(kind)}
    return {key: value for key, value in found.items() if key in names}


def features_of(score: Score | None) -> dict[str, float]:
    """The figures of a score by name.

    Args:
        score: of an answer; `None` if the tier reports no log-probabilities.
    """
    found: dict[str, float] = {}
    if score is None:
        return found
    for each in fields(score):
        value = getattr(score, each.name)
        if isinstance(value, Mapping):
            found |= {name: float(figure) for name, figure in value.items() if figure is not None}
        elif value is not None:
            found[each.name] = float(value)
    return found


def value_hash(value: Any) -> str:
    """A hash of a value. Equal values have equal hashes."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def demand_room(path: str | Path, what: str) -> None:
    """Check that a file can be written, before hours are spent on its content.

    Args:
        path: of the file.
        what: what it is, for errors: `the page`.

    Raises:
        ConfigError: its folder is missing or can't be written to, or the path is a folder itself.
    """
    whole = full(path, what)
    if whole.is_dir():
        why = "it is a folder"
    elif not whole.parent.is_dir():
        why = "there is no such folder"
    elif not os.access(whole.parent, os.W_OK):
        why = "its folder can't be written to"
    else:
        return
    raise ConfigError(f"{what} {whole} can't be written: {why}", hint="name another file")


def write_named(path: str | Path, content: bytes, what: str) -> None:
    """Write a file that the user named, whole or not at all.

    Args:
        path: of the file.
        content: of it.
        what: what it is, for errors: `the page`.

    Raises:
        ConfigError: it can't be written.
    """
    whole = full(path, what)
    try:
        write_whole(whole, content)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise ConfigError(f"{what} {whole} can't be written: {why}", hint="name another file") from None
