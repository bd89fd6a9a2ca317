"""What the tests of the deferral table share."""

from __future__ import annotations

from pydantic import BaseModel

from rung import Price


class Sum(BaseModel):
    total: int


GOOD = '{"total": 3}'
BAD = '{"total": "three"}'
WORSE = '{"sum": 3}'
DOLLARS = Price(1000, 1000)
"""So that 100 prompt tokens and a cap of 1,000 are bounded by $1.10."""


def verdicts(outcome):
    return [(a.tier, str(a.verdict), a.reason) for a in outcome.attempts]
