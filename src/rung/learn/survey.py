"""What somebody's data holds, looked at before anything is asked."""

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
"""Bad rows that are named one by one: a screenful. All of them are counted."""
_MOST_ANSWERS = 1000
"""Different expected answers that are told apart."""


@dataclass(slots=True)
class Survey:
    """What a set holds. Groups are those of the rows by themselves: near-duplicates are not joined here.

    Args:
        rows: that can be used.
        labelled: how many of them have a right answer.
        groups: how many there are, by part of the split.
        bad: the first of the bad rows.
        bad_count: all of them.
        answers: how often each right answer is expected, as far as there are few.
        repeated: rows that ask what a row before asked.
    """

    rows: int = 0
    labelled: int = 0
    groups: dict[str, int] = field(default_factory=lambda: {"fit": 0, "certify": 0})
    bad: list[BadRow] = field(default_factory=list)
    bad_count: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    repeated: int = 0

    def sentences(self) -> list[str]:
        """The same for a person, what is wrong first."""
        said = [f"{bad}" for bad in self.bad]
        if self.bad_count > len(self.bad):
            said.append(f"… and {self.bad_count - len(self.bad):,} more bad rows")
        labelled = f"{self.labelled:,} of them with the right answer"
        said.append(f"{self.rows:,} rows can be used, {labelled}; {self.bad_count:,} are bad")
        fit, certify = self.groups["fit"], self.groups["certify"]
        said.append(f"{fit + certify:,} groups: {fit:,} to fit, {certify:,} to certify")
        return said + self.warnings()

    def warnings(self) -> list[str]:
        """What will stand in the way of a calibration."""
        said = []
        if self.rows < FEWEST_TO_FIT:
            said.append(f"fewer than {FEWEST_TO_FIT} rows: nothing is fitted, and all of them certify")
        if self.labelled > 1 and len(self.answers) == 1:
            said.append("every right answer is the same, so these rows can't show which answers are wrong")
        if self.repeated:
            said.append(f"{self.repeated:,} rows ask what a row before them asked")
        return said

    def as_object(self) -> dict[str, Any]:
        """The same as JSON has it."""
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
    """Look through a file.

    Args:
        path: of the data.
        template: makes a prompt of a row that has its fields.

    Raises:
        ConfigError: as `rung.learn.data.read` does.
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
