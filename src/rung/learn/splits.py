"""Which rows are for fitting and which for certifying: by group, fixed by its hash, the same on every machine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from rung.learn.rows import Row

FEWEST_TO_FIT = 150
"""Fewest rows for a fit. With fewer, a third is too little to choose anything by, and the certificate needs every
row."""

Part = Literal["fit", "certify"]


@dataclass(frozen=True, slots=True)
class Split:
    """The rows of a set, by purpose.

    Args:
        fit: form, examples, score and start are chosen on these; empty if there are too few rows.
        certify: choose nothing, and certify once.
    """

    fit: tuple[Row, ...]
    certify: tuple[Row, ...]


def part(group: str) -> Part:
    """The part that a group belongs to: about a third is for fitting, two thirds are for certifying.

    Args:
        group: of a row. All rows of one group are in one part.
    """
    number = int.from_bytes(hashlib.sha256(group.encode("utf-8", "replace")).digest()[:8], "big")
    return "fit" if number < 2**64 // 3 else "certify"


def split(rows: Iterable[Row]) -> Split:
    """The rows by part. With fewer than `FEWEST_TO_FIT` rows, all of them certify.

    Args:
        rows: with their groups, and near-duplicates joined by `rung.learn.duplicates.grouped`.
    """
    every = tuple(rows)
    if len(every) < FEWEST_TO_FIT:
        return Split((), every)
    parts = [part(row.group or row.key) for row in every]
    of: dict[Part, tuple[Row, ...]] = {
        name: tuple(row for row, its in zip(every, parts, strict=True) if its == name) for name in ("fit", "certify")
    }
    return Split(of["fit"], of["certify"])
