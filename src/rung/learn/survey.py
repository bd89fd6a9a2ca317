"""The content of a user's data, looked at before anything is asked."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from rung.learn.data import read
from rung.learn.splits import FEWEST_TO_FIT, part
from rung.learn.tables import BadRow
from rung.learn.templates import Template

_MOST_SHOWN = 20
"""Bad rows that are listed one by one: a screenful. All of them are counted."""
_MOST_ANSWERS = 1000
"""Different expected answers that are counted separately."""


@dataclass(slots=True)
class Survey:
    """The content of a set. Groups are those of the single rows: near-duplicates aren't joined here.

    Args:
        rows: number of usable rows.
        labelled: number of those with a right answer.
        groups: number of groups in each part of the split.
        bad: the first of the bad rows.
        bad_count: number of all bad rows.
        answers: how often each right answer is expected, if there are only a few.
        repeated: number of rows that ask the same as an earlier one.
    """

    rows: int = 0
    labelled: int = 0
    groups: dict[str, int] = field(default_factory=lambda: {"fit": 0, "certify": 0})
    bad: list[BadRow] = field(default_factory=list)
    bad_count: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    repeated: int = 0

    def sentences(self) -> list[str]:
        """The survey in sentences, faults first."""
        said = [f"{bad}" for bad in self.bad]
        if self.bad_count > len(self.bad):
            said.append(f"… and {self.bad_count - len(self.bad):,} more bad rows")
        labelled = f"{self.labelled:,} of them with the right answer"
        said.append(f"{self.rows:,} rows can be used, {labelled}; {self.bad_count:,} are bad")
        fit, certify = self.groups["fit"], self.groups["certify"]
        said.append(f"{fit + certify:,} groups: {fit:,} to fit, {certify:,} to certify")
        return said + self.warnings()

    def warnings(self) -> list[str]:
        """What will be in the way of a calibration."""
        said = []
        if self.rows < FEWEST_TO_FIT:
            said.append(f"fewer than {FEWEST_TO_FIT} rows: nothing is fitted, and all of them certify")
        if self.labelled > 1 and len(self.answers) == 1:
            said.append("every right answer is the same, so these rows can't show which answers are wrong")
        if self.repeated:
            said.append(f"{self.repeated:,} rows ask the same as an earlier row")
        return said

    def as_object(self) -> dict[str, Any]:
        """The survey as a JSON value."""
        return {
            "rows": self.rows,
            "labelled": self.labelled,
            "groups": self.groups,
            "repeated": self.repeated,
            "bad": [{"line": bad.number, "reason": bad.reason} for bad in self.bad],
            "bad_count": self.bad_count,
            "warnings": self.warnings(),
        }


def survey(path: str | os.PathLike[str], template: Template | None = None) -> Survey:
    """Survey a file.

    Args:
        path: of the data.
        template: makes a prompt of a row that has its fields.

    Raises:
        ConfigError: `rung.learn.data.read` raises it.
    """
    found = Survey()
    groups: set[str] = set()
    keys: set[str] = set()
    for row in read(path, template):
        if isinstance(row, BadRow):
            found.bad_count += 1
            if len(found.bad) < _MOST_SHOWN:
                found.bad.append(row)
            continue
        found.rows += 1
        found.repeated += row.key in keys
        keys.add(row.key)
        if row.group not in groups:
            groups.add(row.group)
            found.groups[part(row.group)] += 1
        if row.labelled:
            found.labelled += 1
            if len(found.answers) < _MOST_ANSWERS:
                found.answers[repr(row.expected)] += 1
    return found
