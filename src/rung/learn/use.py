"""What the ledger knows about a task in use: its requests, which had shadows, and whether the next tier agreed.

Plain Python: `rung ledger stats` reads it without the extra.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from rung.ledger import LedgerFile

WAITING = 1200.0
"""Seconds after which a shadow without a result counts as dropped: its patience and the time that it may take."""

_SQL = """
    SELECT r.id, r.at, r.tier AS answered, r.accepted, r.chance, r.fell, s.request AS told, s.against, s.agrees,
           a.tier, a.shadow, a.weights, a.conditions, a.issues, a.score, a.threshold, a.threshold_origin, a.weighing,
           a.features
    FROM requests r LEFT JOIN shadows s ON s.request = r.id JOIN attempts a ON a.request = r.id
    WHERE r.task = ? AND r.form = ? AND r.reason <> 'cancelled' ORDER BY r.at, r.id, a.number
"""
_LATEST = "SELECT form FROM requests WHERE task = ? AND form IS NOT NULL ORDER BY at DESC, id DESC LIMIT 1"
_TASKS = "SELECT DISTINCT task FROM requests WHERE task IS NOT NULL AND chance IS NOT NULL ORDER BY task"
_FEATURES = ("allowed_minimum", "minimum")
"""The feature that is a score if no threshold defines one, as in `calibrating.DEFAULTS`."""


@dataclass(frozen=True, slots=True)
class UsedThreshold:
    """The threshold of the first tier that was in force.

    Args:
        above: the score had to be above this.
        origin: where the threshold comes from.
        weights: of the features.
        bias: added to their sum.
    """

    above: float
    origin: str
    weights: Mapping[str, float]
    bias: float


@dataclass(frozen=True, slots=True)
class UsedRow:
    """One request.

    Args:
        id: its name in the ledger.
        chance: probability of its random draw for a shadow; `None` if there was no draw.
        fell: whether it was drawn for a shadow.
        accepted: whether the first tier's answer was accepted.
        score: how sure the first tier was of a valid answer; `None` if unknown.
        agrees: whether the next tier gave the same answer; `None` without a shadow, or if it was dropped.
    """

    id: str
    chance: float | None
    fell: bool
    accepted: bool
    score: float | None
    agrees: bool | None

    @property
    def lost(self) -> bool:
        """Whether the request counts as lost. A dropped shadow counts: which ones are dropped is no accident."""
        return self.fell and self.agrees is not True


@dataclass(frozen=True, slots=True)
class Use:
    """The requests of one task under the policy of the latest one.

    Args:
        task: its name.
        first: the tier that is asked first.
        against: the tier that answers are compared with; `None` if there was none yet.
        threshold: of the first tier; `None` if its answers needed none.
        feature: the feature that is the score then; `None` if the tier reports none.
        weights: sha256 of each tier's weights, if known.
        conditions: the hash of each tier's conditions.
        rows: in time order.
    """

    task: str
    first: str
    against: str | None
    threshold: UsedThreshold | None
    feature: str | None
    weights: Mapping[str, str | None]
    conditions: Mapping[str, str]
    rows: tuple[UsedRow, ...] = field(repr=False)

    @property
    def tossed(self) -> list[UsedRow]:
        """The requests that were drawn for a shadow."""
        return [row for row in self.rows if row.fell]

    @property
    def dropped(self) -> int:
        """The number of those that couldn't be compared."""
        return sum(row.agrees is None for row in self.tossed)


def fewest(limit: float, delta: float) -> int:
    """The fewest requests with a shadow for which a limit can be promised, if none of them is lost.

    Args:
        limit: the limit to promise.
        delta: share of samples in which the promise may fail.
    """
    return math.ceil(math.log(delta) / math.log1p(-limit) - 1e-9)


def tasks_in_use(file: LedgerFile) -> list[str]:
    """The tasks with requests that went through a draw for a shadow.

    Raises:
        LedgerError: the file can't be read.
    """
    with file.snapshot() as connection:
        return [row[0] for row in connection.execute(_TASKS)]


def read_use(file: LedgerFile, task: str, now: float, form: str | None = None) -> Use | None:
    """Read what the ledger knows about a task under its present policy; `None` if that is nothing.

    Only requests of one form count, and of those only the latest ones between which nothing changed: the first tier's
    weights, settings or threshold, or those of the tier that it is compared with.

    Args:
        file: the ledger's.
        task: its name.
        now: seconds since 1970.
        form: of the requests; `None` takes that of the latest one.

    Raises:
        LedgerError: the file can't be read.
    """
    with file.snapshot() as connection:
        if form is None:
            latest = connection.execute(_LATEST, (task,)).fetchone()
            if latest is None:
                return None
            form = latest[0]
        found = connection.execute(_SQL, (task, form)).fetchall()
    requests = [list(rows) for _, rows in groupby(found, key=lambda row: row["id"])]
    if not requests:
        return None
    first = next((row["tier"] for row in requests[-1] if not row["shadow"]), None)
    if first is None:
        return None
    against = next((rows[0]["against"] for rows in reversed(requests) if rows[0]["against"] is not None), None)
    kept, seen = _unchanged(requests, first, against)
    known = json.loads(seen[first]["features"] or "{}") if first in seen else {}
    feature = next((name for name in _FEATURES if name in known), None)
    rows = _settled([(rows, _row(rows, first, feature)) for rows in kept], now)
    return Use(
        task,
        first,
        against,
        _threshold(seen[first]) if first in seen else None,
        feature,
        {tier: row["weights"] for tier, row in seen.items()},
        {tier: row["conditions"] for tier, row in seen.items()},
        rows,
    )


def _unchanged(
    requests: Sequence[list[sqlite3.Row]], first: str, against: str | None
) -> tuple[list[list[sqlite3.Row]], dict[str, sqlite3.Row]]:
    """The latest requests between which nothing changed, and the latest answer of each of the two tiers."""
    seen: dict[str, sqlite3.Row] = {}
    kept: list[list[sqlite3.Row]] = []
    for rows in reversed(requests):
        for row in rows:
            if row["tier"] in (first, against) and row["conditions"] is not None:
                latest = seen.setdefault(row["tier"], row)
                own = row["tier"] == first and not row["shadow"]
                if row["conditions"] != latest["conditions"] or (own and _policy(row) != _policy(latest)):
                    return kept[::-1], seen
        kept.append(rows)
    return kept[::-1], seen


def _policy(row: sqlite3.Row) -> tuple[Any, ...]:
    return row["threshold"], row["threshold_origin"], row["weighing"]


def _threshold(row: sqlite3.Row) -> UsedThreshold | None:
    if row["weighing"] is None:
        return None
    weighing = json.loads(row["weighing"])
    return UsedThreshold(row["threshold"], row["threshold_origin"] or "", weighing["weights"], weighing["bias"])


def _row(rows: list[sqlite3.Row], first: str, feature: str | None) -> UsedRow:
    head = rows[0]
    own = [row for row in rows if row["tier"] == first and not row["shadow"] and row["conditions"] is not None]
    score = None
    if own and own[-1]["issues"] == "[]":
        features = json.loads(own[-1]["features"] or "{}")
        score = own[-1]["score"] if own[-1]["weighing"] is not None else features.get(feature)
    agrees = None if head["agrees"] is None else bool(head["agrees"])
    accepted = bool(head["accepted"]) and head["answered"] == first
    return UsedRow(head["id"], head["chance"], bool(head["fell"]), accepted, score, agrees)


def _settled(rows: Sequence[tuple[list[sqlite3.Row], UsedRow]], now: float) -> tuple[UsedRow, ...]:
    """The rows before the first whose shadow may still come. To skip only that one would be a choice among rows."""
    settled = []
    for raw, row in rows:
        if row.fell and raw[0]["told"] is None and now - raw[0]["at"] / 1000 < WAITING:
            break
        settled.append(row)
    return tuple(settled)
